//! `create_event`: creates an event in the user's calendar. Its UID derives from the effect's key, so that it is never created
//! twice and can be looked up after a lost response.

use super::{
    ActionContext, Lookup, PrepareError, Prepared, ProviderContext, Receipt, RemoteEffect,
    provider_context::internal_error, webhook::effect_uuid,
};
use crate::providers::{Calendar, CalendarEntry, DeleteResult, ProviderError, PutResult};
use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use icalendar::{Component as _, EventLike as _};
use jobs::{
    domain::{
        action::Params,
        connection::Settings,
        draft::send_at::local,
        event::{Start, all_day, minutes},
        time::Moment,
    },
    store::{
        connections::{self, StoredConnection},
        effects::StoredEffect,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const BAD_START: &str = "Use a start such as 2026-11-24T09:30 in your time zone, or with an offset; 2026-11-24 alone is an \
                         event of the whole day.";
const BAD_MINUTES: &str = "An event may last 1 to 1,440 minutes.";

pub(super) struct CreateEvent;

/// The event to create.
#[derive(Serialize, Deserialize)]
struct Event {
    uid: String,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    /// The date of an event that lasts all day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    date: Option<NaiveDate>,
    ics: String,
}

impl Event {
    fn read(rendered: &[u8]) -> Result<Self, ProviderError> {
        serde_json::from_slice(rendered)
            .map_err(|_| internal_error("the stored event is unreadable"))
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

    fn is(&self, found: &CalendarEntry) -> bool {
        let line = format!("UID:{}", self.uid);
        let text = String::from_utf8_lossy(&found.event);
        text.lines().any(|found| found.trim_end() == line)
    }
}

#[async_trait]
impl RemoteEffect for CreateEvent {
    async fn prepare(
        &self,
        providers: &ProviderContext<'_>,
        action: &ActionContext<'_>,
    ) -> Result<Prepared, PrepareError> {
        let (connection, zone) = calendar_of(providers, action).await?;
        let text = |name| action.params.get(name);
        if let Some(date) = all_day(text("start").unwrap_or_default()) {
            return whole_day(action, connection, date, zone);
        }
        let starts_at = Start::parse(text("start").unwrap_or_default())
            .ok_or_else(|| PrepareError::refused("bad_start", BAD_START))?
            .moment(zone);
        let length = minutes(text("minutes"))
            .ok_or_else(|| PrepareError::refused("bad_minutes", BAD_MINUTES))?;
        let ends_at = Moment::new(starts_at + TimeDelta::minutes(length)).map_err(|_| {
            PrepareError::refused("bad_start", "Use a start before the end of the year 9999.")
        })?;
        let mut event = Event {
            uid: effect_uuid(&action.key).to_string(),
            starts_at,
            ends_at: ends_at.utc(),
            date: None,
            ics: String::new(),
        };
        let title = text("title").unwrap_or_default();
        event.ics = render(&event, title, text("notes"), action.now);
        let rendered = serde_json::to_vec(&event).map_err(|_| {
            PrepareError::refused("unrenderable_event", "The event could not be written.")
        })?;
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
        providers: &ProviderContext<'_>,
        connection: &StoredConnection,
        rendered: Vec<u8>,
    ) -> Result<Receipt, ProviderError> {
        let event = Event::read(&rendered)?;
        let calendar = providers.calendar(connection).await?;
        let now = providers.ctx.clock.now();
        let file = event.file();
        match calendar.put_new(&file, event.ics.as_bytes(), now).await? {
            PutResult::Created(Some(etag)) => Ok(event.receipt(Some(etag))),
            // The event exists even if its ETag cannot be read.
            PutResult::Created(None) => Ok(event.receipt(match calendar.get(&file, now).await {
                Ok(found) => found.and_then(|found| found.etag),
                Err(_) => None,
            })),
            PutResult::Exists => match find(&*calendar, &event, now).await? {
                Lookup::Done(receipt) => Ok(receipt),
                Lookup::NotDone | Lookup::Unknown => Err(ProviderError::Permanent {
                    code: "calendar_refused",
                    message: "The calendar has another entry with the UID of this event.".into(),
                }),
            },
        }
    }

    async fn look_up(
        &self,
        providers: &ProviderContext<'_>,
        connection: &StoredConnection,
        _effect: &StoredEffect,
        rendered: &[u8],
    ) -> Result<Lookup, ProviderError> {
        let event = Event::read(rendered)?;
        let calendar = providers.calendar(connection).await?;
        find(&*calendar, &event, providers.ctx.clock.now()).await
    }

    async fn undo(
        &self,
        providers: &ProviderContext<'_>,
        connection: &StoredConnection,
        done: &StoredEffect,
    ) -> Result<(), ProviderError> {
        let changed = || ProviderError::Permanent {
            code: "moved_on",
            message: "The event was changed since it was created; it was not deleted.".into(),
        };
        let receipt = done.receipt.as_ref().unwrap_or(&Value::Null);
        let (Some(file), Some(etag)) = (receipt["file"].as_str(), receipt["etag"].as_str()) else {
            return Err(changed());
        };
        let calendar = providers.calendar(connection).await?;
        match calendar
            .delete(file, etag, providers.ctx.clock.now())
            .await?
        {
            DeleteResult::Deleted => Ok(()),
            DeleteResult::Changed => Err(changed()),
        }
    }
}

/// Returns why an event cannot be created, before a person is asked to approve it.
pub(super) fn precheck(params: &Params) -> Option<(&'static str, &'static str)> {
    let start = params.get("start").unwrap_or_default();
    if Start::parse(start).is_none() && all_day(start).is_none() {
        return Some(("bad_start", BAD_START));
    }
    minutes(params.get("minutes"))
        .is_none()
        .then_some(("bad_minutes", BAD_MINUTES))
}

/// Prepares an event of a whole day, on the user's calendar day.
fn whole_day(
    action: &ActionContext<'_>,
    connection: StoredConnection,
    date: NaiveDate,
    zone: chrono_tz::Tz,
) -> Result<Prepared, PrepareError> {
    let mut event = Event {
        uid: effect_uuid(&action.key).to_string(),
        starts_at: local(zone, date, NaiveTime::MIN),
        ends_at: local(zone, day_after(date), NaiveTime::MIN),
        date: Some(date),
        ics: String::new(),
    };
    let title = action.params.get("title").unwrap_or_default();
    event.ics = render(&event, title, action.params.get("notes"), action.now);
    let rendered = serde_json::to_vec(&event).map_err(|_| {
        PrepareError::refused("unrenderable_event", "The event could not be written.")
    })?;
    Ok(Prepared {
        would: json!({ "calendar": connection.address, "title": title, "all_day": date }),
        connection,
        message_id: None,
        rendered,
    })
}

fn day_after(date: NaiveDate) -> NaiveDate {
    date.succ_opt().unwrap_or(date)
}

async fn find(
    calendar: &dyn Calendar,
    event: &Event,
    now: DateTime<Utc>,
) -> Result<Lookup, ProviderError> {
    Ok(match calendar.get(&event.file(), now).await? {
        None => Lookup::NotDone,
        Some(found) if event.is(&found) => Lookup::Done(event.receipt(found.etag)),
        Some(_) => Lookup::Unknown,
    })
}

/// Finds the user's oldest calendar and their time zone.
async fn calendar_of(
    providers: &ProviderContext<'_>,
    action: &ActionContext<'_>,
) -> Result<(StoredConnection, chrono_tz::Tz), PrepareError> {
    let missing = || {
        PrepareError::refused(
            "no_calendar",
            "There is no calendar to write to. Add one with POST /v1/connections.",
        )
    };
    let user = action.user.ok_or_else(missing)?;
    let mut conn = providers.ctx.pool.acquire().await?;
    let own = connections::of_user(&mut conn, action.tenant, user).await?;
    let here = action.zone(&mut conn).await?;
    let calendar = own
        .into_iter()
        .find(|found| matches!(found.settings, Settings::Calendar(_)));
    Ok((calendar.ok_or_else(missing)?, here))
}

/// Renders the event in UTC, which needs no time zone rules.
fn render(event: &Event, title: &str, notes: Option<&str>, now: DateTime<Utc>) -> String {
    let mut component = icalendar::Event::with_uid(&event.uid);
    component.timestamp(now).summary(&plain(title));
    match event.date {
        // A date stays the same day in every zone. The end is the first day after it (RFC 5545 §3.8.2.2); `all_day` of the
        // crate writes an end that equals the start.
        Some(date) => component.starts(date).ends(day_after(date)),
        None => component.starts(event.starts_at).ends(event.ends_at),
    };
    if let Some(notes) = notes {
        component.description(&plain(notes));
    }
    // Not `new`, which adds a second PRODID.
    let mut calendar = icalendar::Calendar::empty();
    calendar.append_property(("VERSION", "2.0"));
    calendar.append_property(("PRODID", "-//Postroom//EN"));
    calendar.push(component).to_string()
}

/// Removes control characters, except line breaks, which the writer escapes.
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
            date: None,
            ics: String::new(),
        }
    }

    #[test]
    fn event_is_written_in_utc_and_text_cannot_inject_lines() {
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
    fn event_of_a_whole_day_has_dates_and_no_time() {
        let event = Event {
            date: NaiveDate::from_ymd_opt(2026, 11, 24),
            ..event()
        };
        let ics = render(&event, "Fair", None, DateTime::UNIX_EPOCH);
        assert!(ics.contains("DTSTART;VALUE=DATE:20261124\r\n"), "{ics}");
        assert!(ics.contains("DTEND;VALUE=DATE:20261125\r\n"), "{ics}");
        assert!(!ics.contains("T093000Z"), "{ics}");
    }

    #[test]
    fn own_entry_is_recognised_by_its_uid() {
        let entry = |uid: &str| CalendarEntry {
            etag: None,
            event: format!("BEGIN:VEVENT\r\nUID:{uid}\r\nEND:VEVENT\r\n").into_bytes(),
        };
        assert!(event().is(&entry("0f5b7bd0-0000-5000-8000-000000000000")));
        assert!(!event().is(&entry("0f5b7bd0-0000-5000-8000-000000000001")));
    }
}
