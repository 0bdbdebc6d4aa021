//! Decides whether a draft is needed and who receives it: [`target`]. Pure.

use super::load::Case;
use chrono::{DateTime, Utc};
use jobs::{
    domain::{
        draft::{
            DraftMode, OutgoingMessage,
            headers::{self, Headers},
            send_at,
        },
        mail::{Direction, Mail, is_automatic},
    },
    kinds::draft::{Args, NotNeeded},
};

/// The draft without its text, or why it is not needed.
#[derive(Debug)]
pub(super) enum Target {
    Draft(Box<OutgoingMessage>),
    NotNeeded(NotNeeded),
}

/// Decides for one job.
///
/// `asked_at` is the time of submission, so that "tomorrow" is the same day for every attempt.
pub(super) fn target(case: &Case, args: &Args, asked_at: DateTime<Utc>) -> Target {
    let send_at = args.send_at.map(|requested| {
        let zone = case
            .writer
            .as_ref()
            .map_or("UTC", |writer| writer.timezone.as_str());
        requested.resolve(send_at::zone(zone), asked_at)
    });
    if let Some(base) = &case.base {
        let former = base.version.message.clone();
        return Target::Draft(Box::new(OutgoingMessage {
            send_at: send_at.or(former.send_at),
            ..former
        }));
    }
    let own = case.own();
    let built = match &case.mail {
        Some((_, mail)) => {
            if let Some(why) = not_needed(case, args.mode, mail, &own) {
                return Target::NotNeeded(why);
            }
            headers::of_mode(args.mode, mail, args.recipients.clone(), &own)
        }
        None => headers::compose(String::new(), args.recipients.clone()),
    };
    let Ok(Headers {
        to,
        cc,
        bcc,
        subject,
        in_reply_to,
        references,
    }) = built
    else {
        return Target::NotNeeded(NotNeeded::NobodyToAnswer);
    };
    Target::Draft(Box::new(OutgoingMessage {
        from: case.sender(),
        to,
        cc,
        bcc,
        subject,
        in_reply_to,
        references,
        body_text: String::new(),
        send_at,
    }))
}

fn not_needed(case: &Case, mode: DraftMode, mail: &Mail, own: &[String]) -> Option<NotNeeded> {
    if !mode.is_answer() {
        return None;
    }
    if is_automatic(mail) {
        return Some(NotNeeded::AutomaticSender);
    }
    let is_reminder = mode == DraftMode::FollowUp;
    let is_own = mail.direction == Direction::Out
        || mail
            .from
            .as_ref()
            .is_some_and(|from| own.contains(&from.addr.to_lowercase()))
            && !headers::is_form(mail, own);
    // A reminder follows an email of the user's own.
    let answered = case.answered || !is_reminder && (is_own || wrote_since(mail));
    if answered {
        return Some(NotNeeded::Answered);
    }
    case.follow_up_ended.then_some(NotNeeded::FollowUpEnded)
}

/// Returns whether the thread has an email of the user's that is newer than this one.
fn wrote_since(mail: &Mail) -> bool {
    mail.thread.iter().any(|message| {
        message.direction == Direction::Out
            && message
                .date
                .zip(mail.date)
                .is_some_and(|(theirs, this)| theirs > this)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use jobs::domain::{
        MessageId, UserId,
        draft::send_at::SendAt,
        gate::TrustMode,
        mail::{Envelope, EnvelopeAddress, EnvelopeEarlier},
    };
    use jobs::store::users::Correspondent;

    fn case(change: impl FnOnce(&mut Envelope)) -> Case {
        let address = |addr: &str| EnvelopeAddress {
            name: None,
            addr: addr.into(),
        };
        let mut envelope = Envelope {
            from: Some(address("ada@x.example")),
            to: vec![address("me@acme.example")],
            subject: "Plan".into(),
            date: Some(DateTime::UNIX_EPOCH),
            body_text: "Which one?".into(),
            ..Envelope::default()
        };
        change(&mut envelope);
        Case {
            trust: TrustMode::Supervised,
            writer: Some(Correspondent {
                user: UserId::new(),
                email: "me@acme.example".into(),
                timezone: "Europe/Berlin".into(),
            }),
            accounts: Vec::new(),
            mail: Some((MessageId::new(), envelope.try_into().unwrap())),
            answered: false,
            follow_up_ended: false,
            quote_original: false,
            injection_suspected: false,
            base: None,
            memories: Vec::new(),
            examples: crate::handlers::corrections::Examples::default(),
            taken: Vec::new(),
        }
    }

    fn args(mode: DraftMode) -> Args {
        Args {
            mode,
            ..Args::reply(MessageId::new())
        }
    }

    fn why(case: &Case, mode: DraftMode) -> Option<NotNeeded> {
        match target(case, &args(mode), DateTime::UNIX_EPOCH) {
            Target::Draft(_) => None,
            Target::NotNeeded(why) => Some(why),
        }
    }

    #[test]
    fn reply_has_the_users_name_and_time_zone() {
        let args = Args {
            send_at: SendAt::parse("tomorrow 09:00"),
            ..args(DraftMode::Reply)
        };
        let Target::Draft(outgoing) = target(&case(|_| ()), &args, DateTime::UNIX_EPOCH) else {
            panic!("not needed")
        };
        assert_eq!(outgoing.from.as_deref(), Some("me@acme.example"));
        assert_eq!(
            (outgoing.to, outgoing.subject.as_str()),
            (vec!["ada@x.example".to_owned()], "Re: Plan")
        );
        let nine = DateTime::UNIX_EPOCH + TimeDelta::hours(24 + 8);
        assert_eq!(outgoing.send_at, Some(nine));
    }

    #[test]
    fn answered_email_needs_no_draft() {
        let answered = Case {
            answered: true,
            ..case(|_| ())
        };
        assert_eq!(why(&answered, DraftMode::Reply), Some(NotNeeded::Answered));
        let wrote = |hours| {
            case(|envelope| {
                envelope.thread = vec![EnvelopeEarlier {
                    date: Some(DateTime::UNIX_EPOCH + TimeDelta::hours(hours)),
                    direction: Direction::Out,
                    body_text: "This one.".into(),
                    ..EnvelopeEarlier::default()
                }];
            })
        };
        assert_eq!(why(&wrote(1), DraftMode::Reply), Some(NotNeeded::Answered));
        assert_eq!(why(&wrote(-1), DraftMode::Reply), None);
        assert_eq!(why(&wrote(1), DraftMode::FollowUp), None);
    }

    #[test]
    fn follow_up_that_has_ended_needs_no_reminder() {
        let ended = Case {
            follow_up_ended: true,
            ..case(|_| ())
        };
        let not_needed = why(&ended, DraftMode::FollowUp);
        assert_eq!(not_needed, Some(NotNeeded::FollowUpEnded));
    }

    #[test]
    fn own_email_gets_a_reminder_and_no_reply() {
        let own = case(|envelope| {
            envelope.to = envelope
                .from
                .replace(envelope.to[0].clone())
                .into_iter()
                .collect();
        });
        assert_eq!(why(&own, DraftMode::Reply), Some(NotNeeded::Answered));
        assert_eq!(why(&own, DraftMode::FollowUp), None);
    }

    #[test]
    fn draft_is_sent_from_the_receiving_account_or_the_oldest() {
        let from = |accounts: &[&str], to: &str| {
            let mut case = case(|envelope| envelope.to[0].addr = to.into());
            case.accounts = accounts.iter().map(|&account| account.into()).collect();
            match target(&case, &args(DraftMode::ReplyAll), DateTime::UNIX_EPOCH) {
                Target::Draft(outgoing) => (outgoing.from.unwrap(), outgoing.cc),
                Target::NotNeeded(why) => panic!("{why:?}"),
            }
        };
        let accounts = ["old@acme.example", "Support@acme.example"];
        for (to, sender) in [
            ("support@acme.example", "Support@acme.example"),
            ("support+shop@acme.example", "Support@acme.example"),
            ("me@acme.example", "old@acme.example"),
        ] {
            assert_eq!(from(&accounts, to), (sender.to_owned(), vec![]), "{to}");
        }
        assert_eq!(from(&[], "me@acme.example").0, "me@acme.example");
    }

    #[test]
    fn form_is_answered_to_the_customer_it_names() {
        let form = case(|envelope| {
            envelope.from.as_mut().unwrap().addr = "noreply@x.example".into();
            envelope.reply_to.push(EnvelopeAddress {
                name: None,
                addr: "customer@mail.example".into(),
            });
        });
        assert_eq!(why(&form, DraftMode::Reply), None);
        let in_own_name = case(|envelope| {
            envelope.from.as_mut().unwrap().addr = "me@acme.example".into();
            envelope.reply_to.push(EnvelopeAddress {
                name: None,
                addr: "customer@mail.example".into(),
            });
        });
        assert_eq!(why(&in_own_name, DraftMode::Reply), None);
    }

    #[test]
    fn automatic_email_is_forwarded_and_not_answered() {
        let machine = case(|envelope| envelope.auto_submitted = Some("auto-generated".into()));
        assert_eq!(
            why(&machine, DraftMode::ReplyAll),
            Some(NotNeeded::AutomaticSender)
        );
        let mut forward = args(DraftMode::Forward);
        forward.recipients.to.push("dan@x.example".into());
        assert!(matches!(
            target(&machine, &forward, DateTime::UNIX_EPOCH),
            Target::Draft(_)
        ));
    }

    #[test]
    fn draft_without_a_recipient_is_not_needed() {
        let without_sender = case(|envelope| envelope.from = None);
        assert_eq!(
            why(&without_sender, DraftMode::Reply),
            Some(NotNeeded::NobodyToAnswer)
        );
    }
}
