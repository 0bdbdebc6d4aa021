//! What requests may take while they are in progress: [`Admission`] counts it, a request's [`Ticket`] holds it.
//!
//! A request takes its permit when there is something to do: at once if it has no body, else when the body has arrived.
//! Clients that announce bodies and do not send them thus hold connections, which the server bounds, and no permit. The
//! bytes of a body count from their arrival to the end of the request.

mod budget;

use crate::{
    AppState,
    error::{ApiError, Code},
    server::Limits,
    slots::{Slot, Slots},
};
use axum::{extract::FromRequestParts, http::request::Parts};
use base::TenantId;
use budget::{Budget, Exceeded, Reservation};
use jobs::domain::{Session, UserId};
use std::{
    convert::Infallible,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::timeout,
};

/// Larger emails are parsed and stored a few at a time.
const LARGE_EMAIL_BYTES: usize = 1024 * 1024;
const LARGE_EMAILS: usize = 2;
const LARGE_EMAIL_TIMEOUT: Duration = Duration::from_secs(10);

/// What all requests have taken of the limits.
#[derive(Debug)]
pub struct Admission {
    in_flight: Arc<Semaphore>,
    tenants: Slots<TenantId>,
    in_flight_per_tenant: usize,
    bodies: Budget<Sender>,
    large_emails: Semaphore,
}

/// Who sends a request, as far as it is known when its body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Sender {
    User(TenantId, UserId),
    /// Of a request without a session.
    Address(Option<IpAddr>),
}

/// What one request has taken; it is returned when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Ticket {
    admission: Arc<Admission>,
    sender: Sender,
    tenant: Option<TenantId>,
    held: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    permit: Option<(OwnedSemaphorePermit, Option<Slot<TenantId>>)>,
    body: Option<Reservation<Sender>>,
}

impl Admission {
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            in_flight: Arc::new(Semaphore::new(limits.in_flight)),
            tenants: Slots::default(),
            in_flight_per_tenant: limits.in_flight_per_tenant,
            bodies: Budget::new(limits.body_bytes, limits.body_bytes_per_user),
            large_emails: Semaphore::new(LARGE_EMAILS),
        })
    }

    /// How many more requests may be in progress.
    pub fn available(&self) -> usize {
        self.in_flight.available_permits()
    }

    /// Bytes of the bodies that are held.
    pub fn body_bytes(&self) -> usize {
        self.bodies.used()
    }

    /// Waits until an email of this size may be parsed and stored, which takes a multiple of its size.
    ///
    /// # Errors
    /// 503 if too many large ones are before it.
    pub async fn room_for_email(
        &self,
        bytes: usize,
    ) -> Result<Option<SemaphorePermit<'_>>, ApiError> {
        if bytes <= LARGE_EMAIL_BYTES {
            return Ok(None);
        }
        let permit = timeout(LARGE_EMAIL_TIMEOUT, self.large_emails.acquire()).await;
        let permit = permit.map_err(|_| overloaded())?;
        Ok(Some(permit.expect("the semaphore is never closed")))
    }

    /// A ticket that has taken nothing yet.
    pub fn ticket(self: &Arc<Self>, session: Option<&Session>, address: Option<IpAddr>) -> Ticket {
        Ticket {
            admission: self.clone(),
            sender: match session {
                Some(session) => Sender::User(session.tenant, session.user),
                None => Sender::Address(address),
            },
            tenant: session.map(|session| session.tenant),
            held: Arc::default(),
        }
    }
}

impl Ticket {
    /// Takes the permit to be in progress, and one of the tenant's share of them.
    ///
    /// # Errors
    /// 429 if the tenant has its share in progress, 503 if the process has as many as it may.
    pub fn enter(&self) -> Result<(), ApiError> {
        let mut held = self.lock();
        if held.permit.is_some() {
            return Ok(());
        }
        let share = match self.tenant {
            None => None,
            Some(tenant) => {
                let max = self.admission.in_flight_per_tenant;
                let share = self.admission.tenants.enter(tenant, max);
                Some(share.ok_or_else(tenant_is_busy)?)
            }
        };
        let permit = self.admission.in_flight.clone().try_acquire_owned();
        held.permit = Some((permit.map_err(|_| overloaded())?, share));
        Ok(())
    }

    /// Returns the permit, for a request that only waits from now on.
    pub fn release(&self) {
        self.lock().permit = None;
    }

    /// Counts `bytes` more of the body.
    ///
    /// # Errors
    /// 429 if the sender's bodies are as large as they may be, 503 if those of all are.
    pub fn reserve(&self, bytes: usize) -> Result<(), ApiError> {
        let mut held = self.lock();
        let body = held
            .body
            .get_or_insert_with(|| self.admission.bodies.reservation(self.sender));
        body.grow(bytes).map_err(|exceeded| match exceeded {
            Exceeded::Share => ApiError::new(
                Code::TooManyRequests,
                "You have reached the limit of bytes in progress of one user. Wait for a response before you send more.",
            )
            .retry_after(1),
            Exceeded::Total => overloaded(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.held.lock().expect("no holder of this lock can panic")
    }
}

/// 503, for whatever the process has no room for.
pub fn overloaded() -> ApiError {
    ApiError::new(
        Code::Overloaded,
        "The service handles too many requests right now. Try again in a moment.",
    )
    .retry_after(1)
}

fn tenant_is_busy() -> ApiError {
    ApiError::new(
        Code::TooManyRequests,
        "Your tenant has reached its limit of requests in progress. Wait for a response before you send more.",
    )
    .retry_after(1)
}

impl FromRequestParts<AppState> for Ticket {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Self::Rejection> {
        let ticket = parts.extensions.get::<Self>();
        Ok(ticket
            .expect("the pipeline gives every operation's request a ticket")
            .clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(in_flight: usize) -> Arc<Admission> {
        Admission::new(&Limits {
            in_flight,
            in_flight_per_tenant: 1,
            body_bytes: 100,
            body_bytes_per_user: 60,
            ..Limits::default()
        })
    }

    fn ticket_of(admission: &Arc<Admission>, tenant: TenantId) -> Ticket {
        Ticket {
            sender: Sender::User(tenant, UserId::new()),
            tenant: Some(tenant),
            ..admission.ticket(None, None)
        }
    }

    fn code(result: Result<(), ApiError>) -> Option<Code> {
        result.err().map(|error| error.code())
    }

    #[test]
    fn tenant_has_a_share_of_the_permits() {
        let admission = admission(2);
        let (ours, theirs) = (TenantId::new(), TenantId::new());
        let first = ticket_of(&admission, ours);
        assert_eq!((code(first.enter()), code(first.enter())), (None, None));
        let second = ticket_of(&admission, ours);
        assert_eq!(code(second.enter()), Some(Code::TooManyRequests));
        let other = ticket_of(&admission, theirs);
        assert_eq!(code(other.enter()), None);
        let public = admission.ticket(None, None);
        assert_eq!(code(public.enter()), Some(Code::Overloaded));
        first.release();
        assert_eq!((code(second.enter()), admission.available()), (None, 0));
        drop((second, other));
        assert_eq!(admission.available(), 2);
    }

    #[test]
    fn bytes_are_counted_per_sender_and_in_all_until_the_ticket_is_dropped() {
        let admission = admission(2);
        let (first, second) = (
            ticket_of(&admission, TenantId::new()),
            ticket_of(&admission, TenantId::new()),
        );
        assert_eq!(code(first.reserve(60)), None);
        assert_eq!(code(first.reserve(1)), Some(Code::TooManyRequests));
        assert_eq!(code(second.reserve(40)), None);
        assert_eq!(code(second.reserve(1)), Some(Code::Overloaded));
        drop(first);
        assert_eq!(
            (code(second.reserve(1)), admission.body_bytes()),
            (None, 41)
        );
    }
}
