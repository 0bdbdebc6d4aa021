//! `docs/access.md`: which scopes each role carries, which of them an API key can carry, and what each opens, from the
//! tables that the API decides by.

use super::{code_list, head, table};
use api::{
    route_table::{Access, Operation, RouteTable},
    routes,
};
use jobs::domain::{
    api_key::KeyScope,
    session::{Role, Scope},
};
use std::iter;

/// Prints the page.
pub(super) fn page() -> String {
    let (routes, _) = RouteTable::build(routes::all());
    let introduction = "\
Every operation needs one scope. A user has the scopes of their role; an API key has those it was created with, of the
ones that a key can carry. No key can approve, manage access, or read or change what belongs to one person: their
sessions, accounts, memory and day. A key is an identity of its own: its jobs, its idempotency keys and its audit entries
are not its creator's, and it lasts when they leave.

Operations marked with † also need a password that was typed in the session within the last ten minutes, by logging in or
with `POST /v1/sessions/current/confirm`; otherwise they answer `CONFIRMATION_REQUIRED`. A key cannot call them. Users with a
second factor type a code with it.

With the setting `require_second_factor`, users without one can call only what needs `sessions:own`; everything else answers
`ENROLMENT_REQUIRED`. API keys are not concerned.

A draft is read and decided by the person whose mailbox it is, and by those whom that person, an owner or an admin lets
([api-guide.md](api-guide.md#approvals)); one that is nobody's by everybody. The same holds for its versions, its approval, the
history of both, the effect of sending it, and the output of the jobs that wrote or sent it. `approvals:read_all` opens no
operation: with it, the operations of `approvals:read`, `history:read` and `jobs:read` show all of these of other users too.
To everybody else they do not exist, as what belongs to another tenant.

While a tenant is paused it can be read, and every other request answers `TENANT_PAUSED`. With the setting `four_eyes`,
nobody approves an action that they asked for themselves or were the last to change.
";
    let rows = Scope::ALL.into_iter().map(|scope| {
        let mut cells = vec![format!("`{}`", scope.as_str())];
        cells.extend(Role::ALL.iter().map(|role| mark(role.carries(scope))));
        cells.push(mark(KeyScope::ALL.iter().any(|own| own.scope() == scope)));
        let cells: [String; 7] = cells
            .try_into()
            .expect("a scope, five roles and the keys are seven cells");
        cells
    });
    let mut text = head("Access", introduction) + "\n";
    let roles = Role::ALL.iter().map(|role| role.as_str());
    let header: Vec<&str> = iter::once("scope")
        .chain(roles)
        .chain(["API key"])
        .collect();
    let header: [&str; 7] = header
        .try_into()
        .expect("a scope, five roles and the keys are seven columns");
    text.push_str(&table(header, rows));
    text.push_str("\n## What each scope opens\n\n");
    let opened = Scope::ALL.into_iter().map(|scope| {
        let names: Vec<String> = routes
            .operations()
            .filter(|operation| needs(operation, scope))
            .map(name)
            .collect();
        let opened = match names.as_slice() {
            [] => "none of its own".to_owned(),
            names => code_list(names.iter().map(String::as_str)),
        };
        [format!("`{}`", scope.as_str()), opened]
    });
    text.push_str(&table(["scope", "operations"], opened));
    text
}

fn needs(operation: &Operation, scope: Scope) -> bool {
    match operation.access {
        Access::Public => false,
        Access::Session(needed) | Access::Operators(needed) => needed == scope,
    }
}

fn name(operation: &Operation) -> String {
    let mark = if operation.fresh { "†" } else { "" };
    format!("{}{mark}", operation.name)
}

fn mark(carries: bool) -> String {
    if carries { "yes" } else { "" }.to_owned()
}
