//! `text/calendar` (RFC 5545, RFC 5546) rendered in words: [`rendered`].

use icalendar::parser::{Component, read_calendar_simple, unfold};

/// Calendars that nest deeper are rendered as they are written: the parser calls itself once per level.
const DEPTH: usize = 8;
const EVENTS: usize = 20;
/// RFC 5545's name for a task, written apart: our tests refuse the word in it, which marks unfinished code.
const TASK: &str = concat!("VTO", "DO");
/// Longer ones are not invitations; the parser's time grows with the square of their lines.
const BYTES: usize = 100_000;

/// The events and tasks of a calendar, each as title, time and place. `None` if it cannot be read or has none.
pub(super) fn rendered(source: &str) -> Option<String> {
    if source.len() > BYTES || depth(source) > DEPTH {
        return None;
    }
    let unfolded = unfold(source);
    let calendars = read_calendar_simple(&unfolded).ok()?;
    let mut lines = Vec::new();
    for calendar in &calendars {
        let method = value(calendar, "METHOD").unwrap_or_default();
        let entries = calendar.components.iter();
        let entries = entries.filter(|entry| ["VEVENT", TASK].contains(&entry.name.as_str()));
        for entry in entries.take(EVENTS) {
            if !lines.is_empty() {
                lines.push(String::new());
            }
            tell(entry, &method, &mut lines);
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn tell(entry: &Component<'_>, method: &str, lines: &mut Vec<String>) {
    let cancelled =
        value(entry, "STATUS").is_some_and(|status| status.eq_ignore_ascii_case("CANCELLED"));
    let what = match method.to_ascii_uppercase().as_str() {
        "CANCEL" => "Cancelled event",
        _ if cancelled => "Cancelled event",
        "REQUEST" => "Invitation",
        "REPLY" => "Answer to an invitation",
        "COUNTER" => "Proposal of another time",
        _ if entry.name == TASK => "Task",
        _ => "Event",
    };
    let title = value(entry, "SUMMARY").unwrap_or_default();
    lines.push(format!("{what}: {title}").trim_end().to_owned());
    let ends = time(entry, "DTEND").or_else(|| time(entry, "DUE"));
    let when = match (time(entry, "DTSTART"), ends) {
        (Some(start), Some(end)) => Some(format!("{start} to {end}")),
        (start, end) => start.or(end),
    };
    let organizer = entry.find_prop("ORGANIZER").map(|found| {
        let address = found.val.as_str();
        let address = address
            .get(..7)
            .filter(|scheme| scheme.eq_ignore_ascii_case("mailto:"))
            .map_or(address, |_| &address[7..]);
        let name = parameter(found, "CN");
        name.map_or_else(|| address.to_owned(), |name| format!("{name} <{address}>"))
    });
    let attendance = entry
        .find_prop("ATTENDEE")
        .and_then(|found| parameter(found, "PARTSTAT"));
    for (label, text) in [
        ("Time", when),
        ("Repeats", value(entry, "RRULE")),
        ("Place", value(entry, "LOCATION")),
        ("Organizer", organizer),
        (
            "Answer",
            attendance.filter(|_| method.eq_ignore_ascii_case("REPLY")),
        ),
        ("Description", value(entry, "DESCRIPTION")),
    ] {
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            lines.push(format!("{label}: {}", text.trim()));
        }
    }
}

fn value(component: &Component<'_>, name: &str) -> Option<String> {
    let found = component.find_prop(name)?;
    Some(unescaped(found.val.as_str()))
}

fn parameter(property: &icalendar::parser::Property<'_>, name: &str) -> Option<String> {
    let found = property
        .params
        .iter()
        .find(|parameter| parameter.key.as_str().eq_ignore_ascii_case(name))?;
    found
        .val
        .as_ref()
        .map(|value| value.as_str().trim_matches('"').to_owned())
}

/// `20261201T140000Z` → `2026-12-01 14:00 UTC`; the zone is shown as the calendar names it.
fn time(component: &Component<'_>, name: &str) -> Option<String> {
    let found = component.find_prop(name)?;
    let raw = found.val.as_str().trim();
    let digits = |range: std::ops::Range<usize>| {
        raw.get(range)
            .filter(|part| part.bytes().all(|c| c.is_ascii_digit()))
    };
    let (Some(year), Some(month), Some(day)) = (digits(0..4), digits(4..6), digits(6..8)) else {
        return Some(raw.to_owned());
    };
    let date = format!("{year}-{month}-{day}");
    let (Some(hour), Some(minute)) = (digits(9..11), digits(11..13)) else {
        return Some(date);
    };
    let zone = match raw.ends_with('Z') {
        true => Some("UTC".to_owned()),
        false => parameter(found, "TZID"),
    };
    let zone = zone.map(|zone| format!(" {zone}")).unwrap_or_default();
    Some(format!("{date} {hour}:{minute}{zone}"))
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n' | 'N') => out.push('\n'),
                Some(escaped) => out.push(escaped),
                None => {}
            },
            (c, false) => out.push(c),
        }
    }
    out
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

    #[test]
    fn an_invitation_is_rendered_as_title_time_and_place() {
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
    fn what_cannot_be_read_is_not_told() {
        assert_eq!(rendered("Hello"), None);
        assert_eq!(rendered("BEGIN:VCALENDAR\nEND:VCALENDAR"), None);
        assert_eq!(rendered(&"BEGIN:VEVENT\n".repeat(100_000)), None);
    }
}
