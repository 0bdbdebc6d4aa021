//! `cargo dev docs`: prints the pages that come from the code: five of `docs/`, the boards' panels, and
//! `api/openapi.json`. See [`pages`].
//!
//! Each page is a pure function of a table that the binaries use themselves, so a page cannot say what the code does
//! not do. A test compares the files with what would be printed now.

mod access;
mod actions;
mod boards;
pub mod configuration;
mod errors;
mod routes;

use crate::places::{PlaceError, Places};
use clap::Args;
use std::{fs, io, path::Path, path::PathBuf};

/// Options of `cargo dev docs`.
#[derive(Debug, Args)]
pub struct DocsArgs {
    /// Write nothing; fail if a page differs from what would be printed.
    #[arg(long)]
    check: bool,
}

/// The pages could not be written or compared.
#[derive(Debug, thiserror::Error)]
pub enum DocsError {
    #[error(transparent)]
    Place(#[from] PlaceError),
    #[error("could not write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// One printed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// From the workspace's root.
    pub path: &'static str,
    pub text: String,
}

/// Writes the pages, or compares them; returns the exit code.
///
/// # Errors
/// When a page cannot be written.
pub fn run(args: &DocsArgs) -> Result<u8, DocsError> {
    let places = Places::of_this_workspace()?;
    let outdated = outdated(&places.workspace);
    if args.check {
        for page in &outdated {
            eprintln!("{} is out of date: run `cargo dev docs`", page.path);
        }
        return Ok(u8::from(!outdated.is_empty()));
    }
    for Page { path, text } in &outdated {
        let path = places.workspace.join(path);
        fs::write(&path, text).map_err(|source| DocsError::Write {
            path: path.clone(),
            source,
        })?;
        eprintln!("wrote {}", path.display());
    }
    eprintln!("{} of {} pages changed", outdated.len(), pages().len());
    Ok(0)
}

/// The pages whose file is missing or holds another text.
pub fn outdated(workspace: &Path) -> Vec<Page> {
    let mut pages = pages();
    pages.retain(|page| {
        fs::read_to_string(workspace.join(page.path)).ok().as_ref() != Some(&page.text)
    });
    pages
}

/// Every page, as the code is now.
pub fn pages() -> Vec<Page> {
    vec![
        Page {
            path: "docs/api.md",
            text: routes::page(),
        },
        Page {
            path: "docs/access.md",
            text: access::page(),
        },
        Page {
            path: "docs/errors.md",
            text: errors::page(),
        },
        Page {
            path: "docs/actions.md",
            text: actions::page(),
        },
        Page {
            path: "docs/configuration.md",
            text: configuration::page(),
        },
        Page {
            path: "dashboards/panels.md",
            text: boards::page(),
        },
        Page {
            path: "api/openapi.json",
            text: routes::openapi(),
        },
    ]
}

/// A page's head: its title, where it comes from, and what it shows.
fn head(title: &str, introduction: &str) -> String {
    format!(
        "<!-- Printed from the code by `cargo dev docs`; edit the code, then run it again. -->\n\n# {title}\n\n{}\n",
        introduction.trim_end()
    )
}

/// A table in Markdown.
fn table<const N: usize>(header: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&header.map(str::to_owned));
    text.push_str(&line(&header.map(|_| "---".to_owned())));
    for row in rows {
        text.push_str(&line(&row.map(|cell| cell.replace('|', "\\|"))));
    }
    text
}

/// Words in backticks, separated by commas.
fn code_list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_escapes_what_would_end_a_cell() {
        let text = table(["a", "b"], [["x|y".to_owned(), "z".to_owned()]]);
        assert_eq!(text, "| a | b |\n| --- | --- |\n| x\\|y | z |\n");
    }

    #[test]
    fn page_is_the_same_each_time_it_is_printed() {
        assert_eq!(pages(), pages());
    }
}
