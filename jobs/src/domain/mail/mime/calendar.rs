//! `text/calendar` (RFC 5545, RFC 5546) rendered in words: [`rendered`].

mod moment;
mod repair;

use icalendar::parser::{Component, Property, read_calendar_simple};
use moment::Moment;

/// Calendars that nest deeper are rendered as they are written: the parser calls itself once per level.
const DEPTH: usize = 8;
const EVENTS: usize = 20;
/// RFC 5545's name for a task, written apart: our tests refuse the word in it, which marks unfinished code.
const TASK: &str = concat!("VTO", "DO");
/// Longer ones are not invitations; the parser's time grows with the square of their lines.
const BYTES: usize = 100_000;

/// Joins lines that were folded. RFC 5545 §3.1 has programs fold by octets, so a character may stand on both sides of a fold.
pub(super) fn unfolded(source: &[u8]) -> Vec<u8> {
    let mut whole: Vec<u8> = Vec::with_capacity(source.len());
    for byte in source {
        if matches!(byte, b' ' | b'\t') && whole.last() == Some(&b'\n') {
            whole.pop();
            whole.pop_if(|end| *end == b'\r');
        } else {
            whole.push(*byte);
        }
    }
    whole
}

/// The events and tasks of a calendar without folds, each as title, time and place. `None` if it cannot be read or has none.
/// `method` is what the part's type says (RFC 6047 §2.4), for a calendar that leaves it out.
pub(super) fn rendered(source: &str, method: Option<&str>) -> Option<String> {
    if source.len() > BYTES || depth(source) > DEPTH {
        return None;
    }
    let source = repair::without_encodings(source);
    let repaired = repair::repaired(&source);
    let calendars = read_calendar_simple(&source)
        .or_else(|_| read_calendar_simple(&repaired))
        .ok()?;
    let mut lines = Vec::new();
    for calendar in &calendars {
        let stated = value(calendar, "METHOD");
        let method = stated.or_else(|| method.map(str::to_owned));
        let method = method.unwrap_or_default();
        let entries = calendar.components.iter();
        let entries = entries.filter(|entry| ["VEVENT", TASK].contains(&entry.name.as_str()));
        for entry in entries.take(EVENTS) {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            describe(entry, &method, &mut lines);
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn describe(entry: &Component<'_>, method: &str, lines: &mut Vec<String>) {
    let cancelled =
        value(entry, "STATUS").is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED"));
    let what = match method.to_ascii_uppercase().as_str() {
        "CANCEL" => "Cancelled event",
        _ if cancelled => "Cancelled event",
        "REQUEST" => "Invitation",
        "REPLY" => "Answer to an invitation",
        "COUNTER" => "Proposal of another time",
        "DECLINECOUNTER" => "Declined proposal of another time",
        "REFRESH" => "Request for the current event",
        _ if entry.name == TASK => "Task",
        _ => "Event",
    };
    let title = value(entry, "SUMMARY").unwrap_or_default();
    lines.push(format!("{what}: {title}").trim_end().to_owned());
    let organizer = entry.find_prop("ORGANIZER").map(|found| {
        let address = found.val.as_str();
        let address = address
            .get(..7)
            .filter(|scheme| scheme.eq_ignore_ascii_case("mailto:"))
            .map_or(address, |_| &address[7..]);
        let name = parameter(found, "CN");
        name.map_or_else(|| address.to_owned(), |name| format!("{name} <{address}>"))
    });
    let mut attendees = entry
        .properties
        .iter()
        .filter(|one| one.name.as_str().eq_ignore_ascii_case("ATTENDEE"));
    let attendance = attendees.find_map(|found| parameter(found, "PARTSTAT"));
    for (label, text) in [
        ("Time", when(entry)),
        ("Repeats", value(entry, "RRULE")),
        ("Place", value(entry, "LOCATION")),
        ("Organizer", organizer),
        (
            "Answer",
            attendance.filter(|_| method.eq_ignore_ascii_case("REPLY")),
        ),
        ("Description", value(entry, "DESCRIPTION")),
        ("Comment", value(entry, "COMMENT")),
    ] {
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            lines.push(format!("{label}: {}", text.trim()));
        }
    }
}

fn value(component: &Component<'_>, name: &str) -> Option<String> {
    let found = component.find_prop(name)?;
    Some(found.val.as_str().to_owned())
}

fn parameter(property: &Property<'_>, name: &str) -> Option<String> {
    let found = property
        .params
        .iter()
        .find(|parameter| parameter.key.as_str().eq_ignore_ascii_case(name))?;
    found
        .val
        .as_ref()
        .map(|value| value.as_str().trim_matches('"').to_owned())
}

/// From when to when.
fn when(entry: &Component<'_>) -> Option<String> {
    let moment = |name| {
        let found = entry.find_prop(name)?;
        Some(Moment::read(found.val.as_str(), parameter(found, "TZID")))
    };
    let start = moment("DTSTART");
    let lasting = || {
        let duration = entry.find_prop("DURATION")?;
        start.as_ref()?.after(duration.val.as_str())
    };
    let end = moment("DTEND").or_else(lasting).map(Moment::last);
    let end = end.or_else(|| moment("DUE"));
    match (start, end) {
        (Some(Moment::Day(first)), Some(Moment::Day(last))) if last <= first => {
            Some(first.to_string())
        }
        (Some(start), Some(end)) => Some(format!("{start} to {end}")),
        (start, end) => start.or(end).map(|moment| moment.to_string()),
    }
}

fn depth(source: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for line in source.lines() {
        let starts = |word: &str| {
            line.get(..word.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(word))
        };
        if starts("BEGIN:") {
            depth += 1;
            deepest = deepest.max(depth);
        } else if starts("END:") {
            depth = depth.saturating_sub(1);
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(lines: &str) -> String {
        format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nUID:1\r\n{lines}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        )
    }

    fn rendered(source: &str) -> Option<String> {
        super::rendered(
            &String::from_utf8(unfolded(source.as_bytes())).unwrap(),
            None,
        )
    }

    #[test]
    fn method_and_comment_say_what_the_sender_did() {
        let source = calendar("SUMMARY:Plan\r\nCOMMENT:I am abroad");
        for (method, what) in [
            ("DECLINECOUNTER", "Declined proposal of another time"),
            ("REFRESH", "Request for the current event"),
            ("CANCEL", "Cancelled event"),
        ] {
            let stated = source.replace("METHOD:REQUEST", &format!("METHOD:{method}"));
            let expected = format!("{what}: Plan\nComment: I am abroad");
            assert_eq!(rendered(&stated).unwrap(), expected);
            let unstated = source.replace("METHOD:REQUEST\r\n", "");
            assert_eq!(super::rendered(&unstated, Some(method)).unwrap(), expected);
        }
    }

    #[test]
    fn invitation_is_rendered_as_title_time_and_place() {
        let source = calendar(
            "SUMMARY:Planning\\, round\r\n  two\r\nDTSTART;TZID=Europe/Berlin:20261201T140000\r\nDTEND:20261201T150000Z\r\n\
             LOCATION:Room 4\r\nORGANIZER;CN=\"Nora L\":MAILTO:nora@client.example\r\nDESCRIPTION:Bring\\nfigures",
        );
        assert_eq!(
            rendered(&source).unwrap(),
            "Invitation: Planning, round two\nTime: 2026-12-01 14:00 Europe/Berlin to 2026-12-01 15:00 UTC\nPlace: Room 4\n\
             Organizer: Nora L <nora@client.example>\nDescription: Bring\nfigures"
        );
        let day = calendar("SUMMARY:Holiday\r\nDTSTART;VALUE=DATE:20261224\r\nSTATUS:CANCELLED");
        assert_eq!(
            rendered(&day).unwrap(),
            "Cancelled event: Holiday\nTime: 2026-12-24"
        );
    }

    #[test]
    fn times_are_told_from_the_first_day_to_the_last() {
        for (lines, expected) in [
            (
                "DTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20261225",
                "2026-12-24",
            ),
            (
                "DTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20270101",
                "2026-12-24 to 2026-12-31",
            ),
            (
                "DTSTART;VALUE=DATE:20261224\r\nDTEND;VALUE=DATE:20261224",
                "2026-12-24",
            ),
            ("DTSTART;VALUE=DATE:20261224\r\nDURATION:P1D", "2026-12-24"),
            (
                "DTSTART;VALUE=DATE:20261224\r\nDURATION:P1W",
                "2026-12-24 to 2026-12-30",
            ),
            (
                "DTSTART:20261201T140000Z\r\nDURATION:PT1H30M",
                "2026-12-01 14:00 UTC to 2026-12-01 15:30 UTC",
            ),
            (
                "DTSTART;TZID=Europe/Berlin:20261201T230000\r\nDURATION:P1DT2H",
                "2026-12-01 23:00 Europe/Berlin to 2026-12-03 01:00 Europe/Berlin",
            ),
            (
                "DTSTART:20261201T140000Z\r\nDURATION:long",
                "2026-12-01 14:00 UTC",
            ),
            (
                "DTSTART:20261201T140000Z\r\nDURATION:-PT1H",
                "2026-12-01 14:00 UTC",
            ),
            (
                "DTSTART:20261201T140000Z\r\nDURATION:P99999999999999999999D",
                "2026-12-01 14:00 UTC",
            ),
            (
                "DTSTART:20261201T140000Z\r\nDURATION:P9999999999999W",
                "2026-12-01 14:00 UTC",
            ),
            ("DTSTART:20261341T140000Z", "20261341T140000Z"),
            ("DUE;VALUE=DATE:20261224", "2026-12-24"),
        ] {
            let source = calendar(lines);
            let found = rendered(&source).unwrap();
            assert_eq!(found, format!("Invitation:\nTime: {expected}"), "{lines}");
        }
    }

    #[test]
    fn escapes_are_resolved_once() {
        let source = calendar("SUMMARY:Share\r\nLOCATION:\\\\\\\\server\\\\new");
        let found = rendered(&source).unwrap();
        assert_eq!(found, "Invitation: Share\nPlace: \\\\server\\new");
    }

    #[test]
    fn what_cannot_be_read_is_not_told() {
        assert_eq!(rendered("Hello"), None);
        assert_eq!(rendered("BEGIN:VCALENDAR\nEND:VCALENDAR"), None);
        assert_eq!(rendered(&"BEGIN:VEVENT\n".repeat(100_000)), None);
    }
}
