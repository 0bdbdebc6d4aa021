//! The nouns that operations are grouped by: [`Tag`].

macro_rules! tags {
    ($($name:ident $text:literal $description:literal;)*) => {
        /// The noun an operation is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Tag { $($name),* }

        impl Tag {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            pub const fn description(self) -> &'static str {
                match self { $(Self::$name => $description),* }
            }
        }
    };
}

tags! {
    Sessions "sessions" "Log in, list your sessions, rotate a token, log out.";
    ApiKeys "api-keys" "Create, list, rotate and revoke the API keys of your tenant.";
    Users "users" "Change your password; list, suspend and remove users and change their roles.";
    IdentityProvider "identity-provider" "Log in with tokens of your tenant's identity provider, and choose it.";
    Onboarding "onboarding" "Invite a user and accept an invite.";
    Jobs "jobs" "Submit work, poll it, wait for it or stream its events, cancel and retry it.";
    Rules "rules" "Read and replace the triage rules of your tenant.";
    Approvals "approvals" "Review proposed actions: approve, edit, reject, undo.";
    Tasks "tasks" "Keep tasks.";
    Projects "projects" "Keep the projects that tasks belong to.";
    Contacts "contacts" "Keep contacts.";
    Inbox "inbox" "Work through the items that wait for you.";
    FollowUps "follow-ups" "See which of your emails wait for an answer.";
    Drafts "drafts" "Read generated drafts, their versions and differences; revise and discard them.";
    Effects "effects" "Read what was done outside Postroom and resolve effects whose result is unknown.";
    Connections "connections" "Connect email accounts, calendars and webhooks.";
    Settings "settings" "Read and replace the settings of your tenant.";
    Usage "usage" "Read what language models were used for and what it cost, and limit it.";
    Memory "memory" "Read, store and delete what the assistant remembers about you.";
    Blocks "blocks" "Plan time blocks and book them in your calendar.";
    History "history" "Read what was decided and done.";
    Audit "audit" "Read the append-only audit log.";
    Operators "operators" "Operate queues, workers and limits of all tenants. Only for the operators' tenant.";
    Meta "meta" "Read this description of the API.";
}
