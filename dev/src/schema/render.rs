//! The schema as readable SQL: tables by the migration that creates them, in its order and with its comment. Pure.

use super::catalog::{Catalog, Table};
use std::fmt::Write as _;

/// No line of the file is longer, unless it cannot be broken.
const WIDTH: usize = 120;

/// A migration's file name, without its extension, and its text.
pub(super) struct Migration {
    pub(super) name: String,
    pub(super) sql: String,
}

pub(super) fn schema(catalog: &Catalog, migrations: &[Migration]) -> String {
    let mut out = String::from(
        "-- The schema as the migrations leave it, written by `cargo dev schema` and held by a test. For reading: change it\n\
         -- by a new migration.\n\n",
    );
    for extension in &catalog.extensions {
        let _ = writeln!(out, "create extension if not exists {extension};");
    }
    for function in &catalog.functions {
        let (head, body) = function.split_once("AS $").unwrap_or((function, ""));
        let _ = write!(out, "\n{}as ${};\n", readable(head), body.trim_end());
    }
    let mut placed: Vec<(usize, usize, &Table)> = catalog
        .tables
        .iter()
        .map(|table| {
            let (topic, position) = origin(migrations, &table.name);
            (topic, position, table)
        })
        .collect();
    placed.sort_by_key(|(topic, position, _)| (*topic, *position));
    let mut shown = None;
    for (topic, position, table) in placed {
        let migration = migrations.get(topic);
        if shown != Some(topic) {
            let name = migration.map_or("no migration", |migration| migration.name.as_str());
            let _ = write!(out, "\n-- {name}\n");
            shown = Some(topic);
        }
        out.push('\n');
        if let Some(migration) = migration {
            out.push_str(comment_before(&migration.sql, position));
        }
        push_table(&mut out, table);
    }
    out
}

/// Which migration creates the table, and where in its text; past the last for a table that none creates.
fn origin(migrations: &[Migration], table: &str) -> (usize, usize) {
    let statement = format!("create table {table} (");
    migrations
        .iter()
        .enumerate()
        .find_map(|(topic, migration)| Some((topic, migration.sql.find(&statement)?)))
        .unwrap_or((migrations.len(), 0))
}

/// The comment lines directly above a position.
fn comment_before(sql: &str, position: usize) -> &str {
    let before = &sql[..position];
    let mut start = position;
    for line in before.split_inclusive('\n').rev() {
        if !line.starts_with("--") {
            break;
        }
        start -= line.len();
    }
    &sql[start..position]
}

fn push_table(out: &mut String, table: &Table) {
    let _ = writeln!(out, "create table {} (", table.name);
    let columns = table.columns.iter().map(|column| {
        let mut line = format!("    {} {}", column.name, readable(&column.kind));
        if column.not_null {
            line.push_str(" not null");
        }
        if let Some(default) = &column.default {
            let _ = write!(line, " default {}", readable(default));
        }
        line
    });
    let constraints = table.constraints.iter().map(|constraint| {
        let definition = without_outer_parentheses(&readable(&constraint.definition));
        wrapped(&format!("    constraint {} {definition}", constraint.name))
    });
    let lines: Vec<String> = columns.chain(constraints).collect();
    out.push_str(&lines.join(",\n"));
    if table.options.is_empty() {
        out.push_str("\n);\n");
    } else {
        let options: Vec<String> = table
            .options
            .iter()
            .map(|option| format!("    {}", option.replacen('=', " = ", 1)))
            .collect();
        let _ = write!(out, "\n) with (\n{}\n);\n", options.join(",\n"));
    }
    for index in &table.indexes {
        let _ = writeln!(out, "{};", wrapped(&readable(index)));
    }
    for trigger in &table.triggers {
        let _ = writeln!(out, "{};", wrapped(&readable(&trigger.definition)));
        if trigger.always {
            let name = &table.name;
            let _ = writeln!(
                out,
                "alter table {name} enable always trigger {};",
                trigger.name
            );
        }
    }
}

/// Postgres' own spelling in ours: lower case outside quotes, short type names, and no casts of plain words.
fn readable(definition: &str) -> String {
    let mut out = String::with_capacity(definition.len());
    for (n, part) in definition.split('\'').enumerate() {
        if n > 0 {
            out.push('\'');
        }
        if n % 2 == 0 {
            out.push_str(&part.to_lowercase());
        } else {
            out.push_str(part);
        }
    }
    for (theirs, ours) in [
        ("timestamp with time zone", "timestamptz"),
        ("double precision", "float8"),
        ("'::text[]", "'"),
        ("'::text", "'"),
        ("public.", ""),
        (" using btree", ""),
        ("::double precision", ""),
    ] {
        out = out.replace(theirs, ours);
    }
    words_as_in(&out)
}

/// `= any (array['a', 'b'])` is how Postgres keeps `in ('a', 'b')`.
fn words_as_in(definition: &str) -> String {
    const ANY: &str = " = any (array[";
    let mut out = String::with_capacity(definition.len());
    let mut rest = definition;
    while let Some((before, after)) = rest.split_once(ANY) {
        let Some((words, tail)) = after.split_once("])") else {
            break;
        };
        out.push_str(before);
        let _ = write!(out, " in ({words})");
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// `check ((…))` becomes `check (…)`, if the inner pair encloses everything.
fn without_outer_parentheses(definition: &str) -> String {
    let inner = definition
        .strip_prefix("check ((")
        .and_then(|rest| rest.strip_suffix("))"));
    match inner {
        Some(inner) if is_balanced(inner) => format!("check ({inner})"),
        _ => definition.to_owned(),
    }
}

/// Whether no closing parenthesis lacks its opening one.
fn is_balanced(text: &str) -> bool {
    let mut depth = 0_i32;
    for (n, part) in text.split('\'').enumerate() {
        if n % 2 == 1 {
            continue;
        }
        for letter in part.chars() {
            match letter {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth < 0 {
                return false;
            }
        }
    }
    depth == 0
}

/// Breaks a long line at spaces outside quotes; what follows is indented.
fn wrapped(line: &str) -> String {
    let indent = if line.starts_with(' ') {
        "        "
    } else {
        "    "
    };
    let mut out = String::with_capacity(line.len());
    let mut width = 0;
    let mut piece = String::new();
    for word in line.split_inclusive(' ') {
        piece.push_str(word);
        if piece.matches('\'').count() % 2 == 1 {
            continue;
        }
        if width + piece.trim_end().len() > WIDTH && width > indent.len() {
            out.truncate(out.trim_end().len());
            out.push('\n');
            out.push_str(indent);
            width = indent.len();
        }
        out.push_str(&piece);
        width += piece.len();
        piece.clear();
    }
    out.push_str(&piece);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_read_as_they_are_written_in_migrations() {
        let check = "CHECK ((state = ANY (ARRAY['Open'::text, 'it''s'::text])))";
        assert_eq!(
            without_outer_parentheses(&readable(check)),
            "check (state in ('Open', 'it''s'))"
        );
        assert_eq!(
            without_outer_parentheses("check ((a) = (b))"),
            "check ((a) = (b))"
        );
        assert_eq!(
            readable("CREATE INDEX x ON public.t USING btree (at timestamp with time zone)"),
            "create index x on t (at timestamptz)"
        );
    }

    #[test]
    fn tables_stand_under_their_migration_with_its_comment() {
        let sql = "-- Topic.\n\n-- What it is.\n-- And why.\ncreate table t (\n".to_owned();
        let name = "0001_topic".to_owned();
        let migrations = [Migration { name, sql }];
        let (topic, position) = origin(&migrations, "t");
        assert_eq!(topic, 0);
        assert_eq!(
            comment_before(&migrations[0].sql, position),
            "-- What it is.\n-- And why.\n"
        );
        assert_eq!(origin(&migrations, "other"), (1, 0));
    }

    #[test]
    fn long_lines_are_broken_at_spaces_outside_quotes() {
        let line = format!("    check ({})", ["'a b'"; 40].join(", "));
        let broken = wrapped(&line);
        assert!(broken.lines().all(|line| line.len() <= WIDTH));
        assert!(
            broken
                .lines()
                .all(|line| line.matches('\'').count() % 2 == 0)
        );
        assert_eq!(
            broken.split_whitespace().count(),
            line.split_whitespace().count()
        );
    }
}
