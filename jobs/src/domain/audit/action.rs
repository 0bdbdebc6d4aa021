//! The names of everything that is audited: [`AuditAction`].

use base::str_enum;

str_enum! {
    /// What happened. Session and user events have the names of the OWASP Logging Vocabulary, all others are `noun.verb`.
    AuditAction {
        LoginSuccess = "authn_login_success",
        LoginFail = "authn_login_fail",
        /// A log-in was refused unchecked, after too many failures.
        LoginLock = "authn_login_lock",
        /// A token was used after its owner had rotated it.
        TokenReuse = "authn_token_reuse",
        SessionCreated = "session_created",
        SessionRenewed = "session_renewed",
        SessionLogout = "session_logout",
        SessionRevoked = "session_revoked",
        ExcessSessions = "excess_sessions_exceeded",
        AuthzFail = "authz_fail",
        AuthzAdmin = "authz_admin",
        UserCreated = "user_created",
        /// A user's role or status was changed.
        UserUpdated = "user_updated",
        UserRemoved = "user_deleted",
        /// What was theirs was deleted; this log stays.
        UserErased = "user_erased",
        /// A user let another decide their drafts.
        DelegateAdded = "delegate_added",
        DelegateRemoved = "delegate_removed",
        PasswordChanged = "authn_password_change",
        /// A user confirmed their password in a session.
        PasswordConfirmed = "authn_password_confirmed",
        PasswordResetCreated = "authn_password_reset_created",
        /// A user got the secret of a second factor; it is active once it is confirmed.
        SecondFactorEnrolled = "authn_second_factor_enrolled",
        SecondFactorConfirmed = "authn_second_factor_confirmed",
        SecondFactorRemoved = "authn_second_factor_removed",
        /// An owner, an admin or a person with a shell removed a user's second factor.
        SecondFactorReset = "authn_second_factor_reset",
        RecoveryCodeUsed = "authn_recovery_code_used",
        /// The tokens of an identity provider open sessions.
        IdentityProviderSet = "identity_provider.set",
        IdentityProviderDeleted = "identity_provider.deleted",
        /// A user or a key began to read the audit log.
        AuditRead = "audit.read",
        ApiKeyCreated = "api_key.created",
        /// The key got a new token; the old one ends after its grace period.
        ApiKeyRotated = "api_key.rotated",
        ApiKeyRevoked = "api_key.revoked",
        TenantPaused = "tenant_paused",
        TenantResumed = "tenant_resumed",
        TenantClosed = "tenant_closed",
        /// Its rows were deleted; this log stays.
        TenantErased = "tenant_erased",
        TenantCreated = "tenant_created",
        InviteCreated = "invite_created",
        InviteRevoked = "invite_revoked",
        InviteAccepted = "invite_accepted",
        JobSubmitted = "job.submitted",
        JobSucceeded = "job.succeeded",
        JobRetried = "job.retried",
        JobSnoozed = "job.snoozed",
        /// The attempt enqueued child jobs and waits for them.
        JobWaiting = "job.waiting",
        JobInterrupted = "job.interrupted",
        /// A person retried a discarded or cancelled job.
        JobRetryRequested = "job.retry_requested",
        JobDiscarded = "job.discarded",
        JobCancelled = "job.cancelled",
        JobCancelRequested = "job.cancel_requested",
        /// The lease of the job expired: its worker died or lost its connection.
        JobRescued = "job.rescued",
        LlmCalled = "llm.called",
        /// A person read what a model was asked and what it answered.
        CapturesRead = "captures.read",
        TriageReceived = "triage.received",
        TriageRuleMatched = "triage.rule_matched",
        TriageCompleted = "triage.completed",
        ActionProposed = "action.proposed",
        /// An action of a job ended; the detail says how.
        ActionEnded = "action.ended",
        ApprovalCreated = "approval.created",
        ApprovalEdited = "approval.edited",
        ApprovalApproved = "approval.approved",
        /// A decision was revoked before a worker had begun to execute it.
        ApprovalRevoked = "approval.revoked",
        /// A worker has begun to execute it.
        ApprovalBegun = "approval.begun",
        /// It was executed, or execution failed.
        ApprovalEnded = "approval.ended",
        /// A person asked to undo an executed approval.
        ApprovalUndoRequested = "approval.undo_requested",
        ApprovalRejected = "approval.rejected",
        /// A rejection was undone.
        ApprovalReopened = "approval.reopened",
        /// It was not decided in time.
        ApprovalExpired = "approval.expired",
        /// A new version of a draft was stored.
        DraftWritten = "draft.written",
        /// No draft was written: the model has questions, or no reply is needed.
        DraftNotWritten = "draft.not_written",
        /// A person asked for a revision.
        DraftRevisionRequested = "draft.revision_requested",
        DraftDiscarded = "draft.discarded",
        /// Its user has replied with another program.
        DraftSuperseded = "draft.superseded",
        /// The intent was stored, before the first attempt.
        EffectIntended = "effect.intended",
        EffectBegun = "effect.begun",
        /// An attempt at the effect ended; the outcome says how.
        EffectEnded = "effect.ended",
        /// The worker died during the attempt: the effect may have happened.
        EffectLost = "effect.lost",
        /// The provider was asked whether the effect happened.
        EffectReconciled = "effect.reconciled",
        /// A person resolved an unknown effect.
        EffectResolved = "effect.resolved",
        /// A mail server reported that a recipient did not get the email.
        EffectBounced = "effect.bounced",
        /// The effect was undone, or undoing it failed.
        EffectUndone = "effect.undone",
        ConnectionCreated = "connection.created",
        ConnectionReauthenticated = "connection.reauthenticated",
        ConnectionRevoked = "connection.revoked",
        /// The provider refused the credentials.
        ConnectionRefused = "connection.refused",
        /// The provider accepted the credentials again.
        ConnectionRestored = "connection.restored",
        /// A mailbox is watched, or other folders of it are.
        WatchSet = "watch.set",
        WatchEnded = "watch.ended",
        /// A webhook is called when jobs end, or at other events.
        SubscriptionSet = "subscription.set",
        /// Events are delivered again, from a moment or a position on.
        SubscriptionReplayed = "subscription.replayed",
        SubscriptionDeleted = "subscription.deleted",
        /// The job that delivers was given up.
        SubscriptionSuspended = "subscription.suspended",
        /// The webhook answered that it is gone.
        SubscriptionEnded = "subscription.ended",
        /// Emails were older than the tenant keeps them, and were deleted with what was made of them.
        EmailsForgotten = "message.forgotten",
        SettingsChanged = "settings.changed",
        /// A user changed their own preferences.
        PreferencesChanged = "user.preferences_changed",
        /// Nobody answered an email in time, and its user was reminded.
        FollowUpReminded = "follow_up.reminded",
        /// Somebody wrote in the thread of an email that waited for an answer.
        FollowUpEnded = "follow_up.ended",
        FollowUpCancelled = "follow_up.cancelled",
        DigestBuilt = "digest.built",
        ItemCreated = "inbox_item.created",
        ItemDeferred = "inbox_item.deferred",
        ItemCompleted = "inbox_item.completed",
        ItemDismissed = "inbox_item.dismissed",
        ItemReopened = "inbox_item.reopened",
        TaskCreated = "task.created",
        TaskUpdated = "task.updated",
        TaskDeleted = "task.deleted",
        TaskRestored = "task.restored",
        ProjectCreated = "project.created",
        ProjectUpdated = "project.updated",
        /// The project was deleted with its tasks.
        ProjectDeleted = "project.deleted",
        ProjectRestored = "project.restored",
        ContactCreated = "contact.created",
        ContactUpdated = "contact.updated",
        ContactDeleted = "contact.deleted",
        ContactRestored = "contact.restored",
        MemoryStored = "memory.stored",
        MemoryPinned = "memory.pinned",
        MemoryUnpinned = "memory.unpinned",
        MemoryDeleted = "memory.deleted",
        /// Its level was full; this item was the least recently used.
        MemoryEvicted = "memory.evicted",
        MemoryExpired = "memory.expired",
        BlockProposed = "block.proposed",
        BlockAccepted = "block.accepted",
        BlockRejected = "block.rejected",
        BlockChanged = "block.changed",
        BlockBooked = "block.booked",
        /// Another calendar event took its time.
        BlockDisplaced = "block.displaced",
        BlockCancelled = "block.cancelled",
        /// Another plan was accepted instead.
        BlockSuperseded = "block.superseded",
        BlockExpired = "block.expired",
        RulesUpdated = "rules.updated",
        QueuePaused = "queue.paused",
        QueueResumed = "queue.resumed",
        LimitSet = "limit.set",
        LimitRemoved = "limit.removed",
        /// Stored secrets were sealed anew with another key.
        SecretsResealed = "secrets.resealed",
        /// Operators retried discarded or cancelled jobs of any tenant.
        DeadLettersRetried = "dead_letters.retried",
    }
}
