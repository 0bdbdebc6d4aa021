//! Markup → a tree, as the HTML standard's tree construction builds it (`html5ever` into `scraper`'s arena).
//!
//! Bounds what hostile markup can cost: [`Bounded`] stands between tokenizer and tree builder and drops tags that nest
//! deeper than browsers allow and end tags that end nothing; after too many nodes or too much text the rest is not read.

use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use html5ever::tree_builder::{TreeBuilder, TreeBuilderOpts};
use html5ever::{LocalName, TokenizerResult};
use scraper::{Html, HtmlTreeSink};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;

/// Blink's own limit. The tree builder searches its stack of open elements, so depth is what makes it quadratic.
const DEPTH: usize = 512;
/// Ten times the largest newsletter that was measured. A node costs about 200 bytes.
const NODES: usize = 150_000;
/// Bytes of text, style sheets included.
const TEXT: usize = 1_500_000;
/// How much is read before the bounds are looked at again.
const CHUNK: usize = 64 * 1024;

/// Builds the document's tree. Scripts are off, as in mail programs, so the content of `<noscript>` is part of it.
pub(super) fn parse(html: &str) -> Html {
    let options = TreeBuilderOpts {
        scripting_enabled: false,
        ..TreeBuilderOpts::default()
    };
    let builder = TreeBuilder::new(HtmlTreeSink::new(Html::new_document()), options);
    let sink = Bounded {
        builder,
        open: RefCell::default(),
        text: Cell::default(),
    };
    let tokenizer = Tokenizer::new(sink, TokenizerOpts::default());
    let input = BufferQueue::default();
    let mut rest = html;
    while !rest.is_empty() && !tokenizer.sink.is_full() {
        let (chunk, after) = rest.split_at(rest.floor_char_boundary(CHUNK));
        input.push_back(StrTendril::from_slice(chunk));
        while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
        rest = after;
    }
    tokenizer.end();
    tokenizer.sink.builder.sink.0.into_inner()
}

type Node = ego_tree::NodeId;

struct Bounded {
    builder: TreeBuilder<Node, HtmlTreeSink>,
    open: RefCell<Open>,
    text: Cell<usize>,
}

impl Bounded {
    fn is_full(&self) -> bool {
        self.text.get() > TEXT || self.builder.sink.0.borrow().tree.nodes().len() > NODES
    }
}

/// The elements that are open as far as the tags tell, and the tags that were dropped.
#[derive(Default)]
struct Open {
    depth: usize,
    by_name: HashMap<LocalName, usize>,
    dropped: HashMap<LocalName, usize>,
}

impl TokenSink for Bounded {
    type Handle = Node;

    fn process_token(&self, token: Token, line: u64) -> TokenSinkResult<Node> {
        if let Token::TagToken(tag) = &token
            && !self.open.borrow_mut().admits(tag)
        {
            return TokenSinkResult::Continue;
        }
        if let Token::CharacterTokens(text) = &token {
            self.text.set(self.text.get() + text.len());
        }
        if self.is_full() && !matches!(token, Token::EOFToken) {
            return TokenSinkResult::Continue;
        }
        match self.builder.process_token(token, line) {
            // Nobody runs it.
            TokenSinkResult::Script(_) => TokenSinkResult::Continue,
            result => result,
        }
    }

    fn end(&self) {
        self.builder.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.builder
            .adjusted_current_node_present_but_not_in_html_namespace()
    }
}

impl Open {
    fn admits(&mut self, tag: &Tag) -> bool {
        if !nests(&tag.name) {
            return true;
        }
        match tag.kind {
            TagKind::StartTag if self.depth >= DEPTH => {
                *self.dropped.entry(tag.name.clone()).or_default() += 1;
                false
            }
            TagKind::StartTag => {
                self.depth += 1;
                *self.by_name.entry(tag.name.clone()).or_default() += 1;
                true
            }
            TagKind::EndTag if take_one(&mut self.dropped, &tag.name) => false,
            TagKind::EndTag => {
                let ends = take_one(&mut self.by_name, &tag.name);
                self.depth -= usize::from(ends);
                // Any heading's end tag ends any heading.
                ends || matches!(&*tag.name, "h1" | "h2" | "h3" | "h4" | "h5" | "h6")
            }
        }
    }
}

fn take_one(counts: &mut HashMap<LocalName, usize>, name: &LocalName) -> bool {
    match counts.get_mut(name) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    }
}

/// Whether an open element of this name lets others of its name be opened inside it. Void elements, elements of raw text
/// and those whose end tag is implied by the next of their kind do not add depth by themselves.
fn nests(name: &str) -> bool {
    !matches!(
        name,
        "area"
            | "base"
            | "basefont"
            | "bgsound"
            | "body"
            | "br"
            | "caption"
            | "col"
            | "colgroup"
            | "dd"
            | "dt"
            | "embed"
            | "frame"
            | "head"
            | "hr"
            | "html"
            | "iframe"
            | "image"
            | "img"
            | "input"
            | "keygen"
            | "li"
            | "link"
            | "meta"
            | "noembed"
            | "noframes"
            | "optgroup"
            | "option"
            | "p"
            | "param"
            | "plaintext"
            | "script"
            | "source"
            | "style"
            | "tbody"
            | "td"
            | "textarea"
            | "tfoot"
            | "th"
            | "thead"
            | "title"
            | "tr"
            | "track"
            | "wbr"
            | "xmp"
    )
}
