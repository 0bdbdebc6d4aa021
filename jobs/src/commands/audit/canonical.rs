//! The canonical form of an audit entry (RFC 8785), which is hashed and exported: [`canonical`].

use crate::store::audit::AuditEntry;
use base::TenantId;
use serde_json::json;

/// Returns the entry as canonical JSON. Everything that is stored is in it, so that nothing can be changed unseen; large
/// numbers are texts, because JSON's numbers end at 2⁵³.
pub fn canonical(tenant: TenantId, entry: &AuditEntry) -> String {
    let object = json!({
        "tenant_id": tenant,
        "xid": entry.xid.to_string(),
        "seq": entry.seq.to_string(),
        "id": entry.id,
        "at": entry.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "actor_kind": entry.actor_kind,
        "actor_id": entry.actor_id,
        "session_id": entry.session_id,
        "action": entry.action,
        "resource_kind": entry.resource_kind,
        "resource_id": entry.resource_id,
        "request_id": entry.request_id,
        "trace_id": entry.trace_id,
        "job_id": entry.job_id,
        "attempt": entry.attempt,
        "outcome": entry.outcome,
        "dry_run": entry.dry_run,
        "error_code": entry.error_code,
        "detail": entry.detail,
    });
    serde_json_canonicalizer::to_string(&object).expect("a JSON value has a canonical form")
}
