//! Styles that hide less, or more, than they seem to: what a browser shows is what we read.

use super::visible_text;

const DARK: &str = "<body style='background:#000;color:#fff'>";

fn seen(html: &str) -> String {
    let text = visible_text(html);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_shown(cases: &[&str]) {
    for html in cases {
        assert_eq!(seen(&format!("{html}<p>end")), "x end", "{html}");
    }
}

fn assert_hidden(cases: &[&str]) {
    for html in cases {
        assert_eq!(seen(&format!("{html}<p>end")), "end", "{html}");
    }
}

#[test]
fn colours_of_one_brightness_are_two_colours() {
    assert_shown(&[
        "<table><td bgcolor=#808080><font color=#ff0000>x</font></table>",
        "<table><td bgcolor=#666666><font color=#cc0000>x</font></table>",
        "<font color=#ffff00>x</font>",
        "<table><td bgcolor=#444444><a href=x.html>x</a></table>",
        "<table><td bgcolor=#004080><a href=x.html>x</a></table>",
    ]);
}

#[test]
fn ground_is_read_from_a_shorthand_with_functions() {
    let ground = "none repeat scroll 0% 0%";
    assert_shown(&[&format!(
        "<div style='background: rgb(0, 51, 102) {ground};color:#fff'>x</div>"
    )]);
    assert_hidden(&[&format!(
        "{DARK}<div style='background: rgb(255, 255, 255) {ground};color:#fff'>x</div><div style='color:#fff'>"
    )]);
}

#[test]
fn ground_that_is_not_known_hides_nothing() {
    assert_shown(&[
        "<table><td bgcolor='#1a1a1a;'><font color=#fff>x</font></table>",
        "<table><td bgcolor='#0000'><font color=#fff>x</font></table>",
        &format!("{DARK}<mark>x</mark>"),
        &format!("{DARK}<button>x</button>"),
        &format!("{DARK}<input type=submit value=x>"),
        &format!("{DARK}<button style='background:#000;color:inherit'>x</button>"),
    ]);
    assert_hidden(&[
        "<mark style='color:#ff0'>x</mark>",
        "<table><td bgcolor=transparent><font color=#fff>x</font></table>",
        "<table><td bgcolor='#0000' style='background:#fff'><font color=#fff>x</font></table>",
    ]);
}

#[test]
fn wrapper_of_flat_lines_shows_what_sets_its_own() {
    let wrapper = "<div style='line-height:0;overflow:hidden'>";
    assert_shown(&[
        &format!("{wrapper}<p style='line-height:20px'>x</p></div>"),
        &format!("{wrapper}<p style='font:14px/20px Arial'>x</p></div>"),
        &format!("{wrapper}<p style='font:14px Arial'>x</p></div>"),
        "<div style='line-height:0'>x</div>",
    ]);
    assert_hidden(&[
        &format!("{wrapper}x</div>"),
        &format!("{wrapper}<p>x</p></div>"),
        "<div style='line-height:0'><p style='overflow:hidden'>x</p></div>",
        &format!("{wrapper}<p style='line-height:20px'><div style='line-height:1px'>x</div></div>"),
    ]);
}

#[test]
fn elements_with_a_font_size_of_their_own_show_in_a_wrapper_of_none() {
    let wrapper = "<!doctype html><div style='font-size:0'>";
    assert_shown(&[
        &format!("{wrapper}<font size=2>x</font></div>"),
        &format!("{wrapper}<font size=' -1'>x</font></div>"),
        &format!("{wrapper}<font size=+9>x</font></div>"),
        &format!("{wrapper}<button>x</button></div>"),
        &format!("{wrapper}<textarea>x</textarea></div>"),
        &format!("{wrapper}<input type=submit value=x></div>"),
        &format!("{wrapper}<p style='font-size:xxx-large'>x</p></div>"),
    ]);
    assert_hidden(&[
        &format!("{wrapper}<font size=big>x</font></div>"),
        &format!("{wrapper}<font size=2 style='font-size:0'>x</font></div>"),
        "<button style='font-size:0'>x</button>",
    ]);
}

#[test]
fn invalid_declaration_leaves_the_one_before_it() {
    for style in [
        "display:none;display:nonsense",
        "color:#fff;color:notacolour",
        "font-size:0;font-size:big",
        "font-size:0;font-size:-3px",
        "font-size:0;font-size:12foo",
        "visibility:hidden;visibility:maybe",
        "opacity:0;opacity:full",
        "position:absolute;left:-9999px;left:3foo",
        "position:absolute;position:there;left:-9999px",
        "overflow:hidden;overflow:no;height:0;height:-4px",
        "transform:scale(0);transform:nothing",
        "content-visibility:hidden;content-visibility:seen",
        "background:#fff;background:paper;color:#fff",
    ] {
        let ground = if style.starts_with("background") {
            DARK
        } else {
            ""
        };
        assert_eq!(
            seen(&format!("{ground}<div style='{style}'>x</div><p>end")),
            "end",
            "{style}"
        );
    }
}

#[test]
fn valid_declaration_takes_the_place_of_the_one_before_it() {
    for style in [
        "display:none;display:inline-block",
        "display:none;display:block flow",
        "display:none;display:var(--x)",
        "color:#fff;color:windowtext",
        "color:#fff;color:rgb(0 0 0 / 1)",
        "font-size:0;font-size:80%",
        "font-size:0;font-size:2vmin",
        "visibility:hidden;visibility:visible",
        "opacity:0;opacity:90%",
        "position:absolute;left:-9999px;left:auto",
        "position:absolute;left:-9999px;position:static",
        "overflow:hidden;height:0;height:100%",
        "overflow:hidden;height:0;height:fit-content",
        "overflow:hidden;line-height:0;line-height:normal",
        "background:#000;color:#fff;background:none no-repeat 0 0 / cover;color:initial",
    ] {
        assert_eq!(
            seen(&format!("<div style='{style}'>x</div><p>end")),
            "x end",
            "{style}"
        );
    }
}

#[test]
fn box_that_grows_with_its_container_cuts_nothing() {
    assert_shown(&[
        "<div style='width:1px;min-width:100%;overflow:hidden'>x</div>",
        "<div style='height:0;min-height:calc(100% - 2px);overflow:hidden'>x</div>",
    ]);
    assert_hidden(&["<div style='width:1px;min-width:0%;overflow:hidden'>x</div>"]);
}

#[test]
fn rules_for_links_and_for_words_of_an_attribute_apply() {
    assert_shown(&[
        "<style>a:link{color:#fff}</style><div style='background:#0000ee'><a href=x.html>x</a></div>",
        "<style>p:any-link{display:none}</style><p>x</p>",
    ]);
    assert_hidden(&[
        "<style>a:any-link{display:none}</style><a href=x.html>x</a>",
        "<style>[class~=hide]{display:none}</style><p class='a hide'>x</p>",
    ]);
}

#[test]
fn rules_about_siblings_apply_in_small_documents() {
    let hidden = |selector: &str| {
        format!("<style>{selector}{{display:none}}</style><h1></h1><p class=a>x</p>")
    };
    for selector in [
        "h1 ~ p",
        "h1~.a",
        "p:nth-of-type(1)",
        "p:first-of-type",
        "p/* a */.a/* b */",
    ] {
        assert_eq!(
            seen(&format!("{}<div>end", hidden(selector))),
            "end",
            "{selector}"
        );
    }
    let many = "<i></i>".repeat(3_000);
    assert_eq!(seen(&format!("{many}{}end", hidden("h1 ~ p"))), "x end");
}

/// It took half a minute when each rule was tried on each element.
#[test]
fn document_of_many_rules_and_elements_is_soon_read() {
    let rule = |n| format!(".a .b{n} p{{display:none}}");
    let rules: String = (0..4_000).map(rule).collect();
    let paragraphs = "<p>x".repeat(20_000);
    let html =
        format!("<style>.b p{{display:none}}{rules}</style><div class=b><p>y</div>{paragraphs}");
    let text = seen(&html);
    assert!(text.starts_with("x x") && text.len() == 2 * 20_000 - 1);
}

#[test]
fn style_sheet_for_other_programs_hides_nothing() {
    assert_shown(&[
        "<style type=text/less>p.a{display:none}</style><p class=a>x</p>",
        "<p class=a>x</p><template><style>p.a{display:none}</style></template>",
        "<style>@supports (-webkit-overflow-scrolling:touch){p.a{display:none}}</style><p class=a>x</p>",
        "<style>@supports (-webkit-touch-callout:none) and (color:red){p.a{display:none}}</style><p class=a>x</p>",
    ]);
}

#[test]
fn sizes_of_logical_directions_hide_and_tables_grow() {
    assert_hidden(&[
        "<div style='max-block-size:0;overflow:hidden'>x</div>",
        "<div style='inline-size:0;overflow:hidden'>x</div>",
        "<div style='margin-inline-start:-9999px'>x</div>",
        "<ruby><rp>x</rp></ruby>",
        "<table style='display:block;height:0;overflow:hidden'><td>x</table>",
    ]);
    assert_shown(&[
        "<table style='height:0;overflow:hidden'><td>x</table>",
        "<table><tr style='height:0;overflow:hidden'><td>x</table>",
    ]);
}
