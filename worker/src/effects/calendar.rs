//! `create_event`: an event in the user's calendar under a name made of the effect's, so that the same event is never there
//! twice, and a lost answer is found out by looking.

use super::{Doing, Far, Found, Prepared, Receipt, Remote, Trouble, far::unready, webhook::name};
use crate::providers::{Calendar, Entry, ProviderError, Put, Taken};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use icalendar::{Component as _, EventLike as _};
use jobs::{
    domain::{
        connection::Settings,
        draft::send_at::zone,
        event::{Start, minutes},
    },
    store::{
        connections::{self, StoredConnection},
        effects::StoredEffect,
        users,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) struct CreateEvent;

/// What is put into the calendar.
#[derive(Serialize, Deserialize)]
struct Event {
    uid: String,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    ics: String,
}

impl Event {
    fn read(rendered: &[u8]) -> Result<Self, ProviderError> {
        serde_json::from_slice(rendered).map_err(|_| unready("the stored event cannot be read"))
    }

    fn file(&self) -> String {
        format!("{}.ics", self.uid)
    }

    fn receipt(&self, etag: Option<String>) -> Receipt {
        Receipt {
            receipt: json!({
                "uid": self.uid, "file": self.file(), "etag": etag,
                "starts_at": self.starts_at, "ends_at": self.ends_at,
            }),
            before_image: None,
        }
    }

    fn is(&self, found: &Entry) -> bool {
        let line = format!("UID:{}", self.uid);
        let text = String::from_utf8_lossy(&found.event);
        text.lines().any(|found| found.trim_end() == line)
    }
}

#[async_trait]
impl Remote for CreateEvent {
    async fn prepare(&self, far: &Far<'_>, doing: &Doing<'_>) -> Result<Prepared, Trouble> {
        let (connection, zone) = calendar_of(far, doing).await?;
        let text = |name| doing.params.get(name);
        let starts_at = Start::parse(text("start").unwrap_or_default())
            .ok_or_else(|| {
                Trouble::refused(
                    "bad_start",
                    "Use a start such as 2026-11-24T09:30 in your time zone, or with an offset.",
                )
            })?
            .moment(zone);
        let lasts = minutes(text("minutes")).ok_or_else(|| {
            Trouble::refused("bad_minutes", "An event may last 1 to 1,440 minutes.")
        })?;
        let mut event = Event {
            uid: name(&doing.key).to_string(),
            starts_at,
            ends_at: starts_at + TimeDelta::minutes(lasts),
            ics: String::new(),
        };
        let title = text("title").unwrap_or_default();
        event.ics = render(&event, title, text("notes"), doing.now);
        let rendered = serde_json::to_vec(&event)
            .map_err(|_| Trouble::refused("unrenderable_event", "This event cannot be written."))?;
        Ok(Prepared {
            would: json!({
                "calendar": connection.address, "title": title,
                "starts_at": event.starts_at, "ends_at": event.ends_at,
            }),
            connection,
            message_id: None,
            rendered,
        })
    }

    async fn perform(
        &self,
        far: &Far<'_>,
        connection: &StoredConnection,
        rendered: Vec<u8>,
    ) -> Result<Receipt, ProviderError> {
        let event = Event::read(&rendered)?;
        let calendar = far.calendar(connection).await?;
        let now = far.ctx.clock.now();
        let file = event.file();
        match calendar.put_new(&file, event.ics.as_bytes(), now).await? {
            Put::Made(Some(etag)) => Ok(event.receipt(Some(etag))),
            // It is there, whatever becomes of the question.
            Put::Made(None) => Ok(event.receipt(match calendar.get(&file, now).await {
                Ok(found) => found.and_then(|found| found.etag),
                Err(_) => None,
            })),
            Put::Taken => match find(&*calendar, &event, now).await? {
                Found::Done(receipt) => Ok(receipt),
                Found::NotDone | Found::CannotSay => Err(ProviderError::Permanent {
                    code: "calendar_refused",
                    message: "The calendar has something else in the place of this event.".into(),
                }),
            },
        }
    }

    async fn look(
        &self,
        far: &Far<'_>,
        connection: &StoredConnection,
        _effect: &StoredEffect,
        rendered: &[u8],
    ) -> Result<Found, ProviderError> {
        let event = Event::read(rendered)?;
        let calendar = far.calendar(connection).await?;
        find(&*calendar, &event, far.ctx.clock.now()).await
    }

    async fn revert(
        &self,
        far: &Far<'_>,
        connection: &StoredConnection,
        done: &StoredEffect,
    ) -> Result<(), ProviderError> {
        let moved_on = || ProviderError::Permanent {
            code: "moved_on",
            message: "The event was changed since it was made; it stays as it is.".into(),
        };
        let receipt = done.receipt.as_ref().unwrap_or(&Value::Null);
        let (Some(file), Some(etag)) = (receipt["file"].as_str(), receipt["etag"].as_str()) else {
            return Err(moved_on());
        };
        let calendar = far.calendar(connection).await?;
        match calendar.delete(file, etag, far.ctx.clock.now()).await? {
            Taken::Gone => Ok(()),
            Taken::Changed => Err(moved_on()),
        }
    }
}

async fn find(
    calendar: &dyn Calendar,
    event: &Event,
    now: DateTime<Utc>,
) -> Result<Found, ProviderError> {
    Ok(match calendar.get(&event.file(), now).await? {
        None => Found::NotDone,
        Some(found) if event.is(&found) => Found::Done(event.receipt(found.etag)),
        Some(_) => Found::CannotSay,
    })
}

/// The oldest of the user's calendars, and the zone they live in.
async fn calendar_of(
    far: &Far<'_>,
    doing: &Doing<'_>,
) -> Result<(StoredConnection, chrono_tz::Tz), Trouble> {
    let missing = || {
        Trouble::refused(
            "no_calendar",
            "There is no calendar to write to. Add one with POST /v1/connections.",
        )
    };
    let user = doing.user.ok_or_else(missing)?;
    let mut conn = far.ctx.pool.acquire().await?;
    let own = connections::of_user(&mut conn, doing.tenant, user).await?;
    let person = users::correspondent(&mut conn, doing.tenant, user).await?;
    let calendar = own
        .into_iter()
        .find(|found| matches!(found.settings, Settings::Calendar(_)));
    let here = zone(
        person
            .as_ref()
            .map_or("UTC", |person| person.timezone.as_str()),
    );
    Ok((calendar.ok_or_else(missing)?, here))
}

/// In UTC, which is right whatever the clocks do.
fn render(event: &Event, title: &str, notes: Option<&str>, now: DateTime<Utc>) -> String {
    let mut component = icalendar::Event::with_uid(&event.uid);
    component
        .timestamp(now)
        .summary(&plain(title))
        .starts(event.starts_at)
        .ends(event.ends_at);
    if let Some(notes) = notes {
        component.description(&plain(notes));
    }
    // `new` would name the library as the author, and a calendar has one.
    let mut calendar = icalendar::Calendar::empty();
    calendar.append_property(("VERSION", "2.0"));
    calendar.append_property(("PRODID", "-//Postroom//EN"));
    calendar.push(component).to_string()
}

/// A line break is escaped by the writer; other control characters have no place in a calendar.
fn plain(text: &str) -> String {
    text.replace("\r\n", "\n")
        .replace(|c: char| c.is_control() && c != '\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let starts_at = "2026-11-24T09:30:00Z".parse().unwrap();
        Event {
            uid: "0f5b7bd0-0000-5000-8000-000000000000".into(),
            starts_at,
            ends_at: starts_at + TimeDelta::minutes(30),
            ics: String::new(),
        }
    }

    #[test]
    fn an_event_is_written_in_utc_and_nothing_breaks_out_of_its_line() {
        let title = "Lunch\r\nATTENDEE:mailto:eve@example.org; with, Bob\u{7}";
        let notes = Some("a\rb");
        let now = "2026-11-23T02:00:00Z".parse().unwrap();
        let ics = render(&event(), title, notes, now);
        let unfolded = ics.replace("\r\n ", "");
        for line in [
            "PRODID:-//Postroom//EN",
            "UID:0f5b7bd0-0000-5000-8000-000000000000",
            "DTSTAMP:20261123T020000Z",
            "DTSTART:20261124T093000Z",
            "DTEND:20261124T100000Z",
            "SUMMARY:Lunch\\nATTENDEE:mailto:eve@example.org\\; with\\, Bob ",
            "DESCRIPTION:a b",
        ] {
            assert!(
                unfolded.split("\r\n").any(|found| found == line),
                "{line}\n{unfolded}"
            );
        }
        assert_eq!(unfolded.matches("PRODID").count(), 1);
        assert!(!unfolded.contains("\r\nATTENDEE"));
    }

    #[test]
    fn an_entry_is_ours_by_its_uid() {
        let entry = |uid: &str| Entry {
            etag: None,
            event: format!("BEGIN:VEVENT\r\nUID:{uid}\r\nEND:VEVENT\r\n").into_bytes(),
        };
        assert!(event().is(&entry("0f5b7bd0-0000-5000-8000-000000000000")));
        assert!(!event().is(&entry("0f5b7bd0-0000-5000-8000-000000000001")));
    }
}
