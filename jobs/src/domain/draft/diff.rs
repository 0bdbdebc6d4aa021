//! The difference of two texts, line by line: [`diff`].

use base::str_enum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use similar::{ChangeTag, TextDiff};

str_enum! {
    /// Whether a line was kept, deleted or inserted.
    DiffOp {
        Equal = "equal",
        Delete = "delete",
        Insert = "insert",
    }
}

/// A line of the difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffLine {
    pub op: DiffOp,
    /// The line without its line break.
    pub text: String,
}

/// Returns all lines of both texts in order; removed lines come before the lines that replace them.
pub fn diff(from: &str, to: &str) -> Vec<DiffLine> {
    TextDiff::from_lines(from, to)
        .iter_all_changes()
        .map(|change| DiffLine {
            op: match change.tag() {
                ChangeTag::Equal => DiffOp::Equal,
                ChangeTag::Delete => DiffOp::Delete,
                ChangeTag::Insert => DiffOp::Insert,
            },
            text: change.value().trim_end_matches(['\r', '\n']).to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_line_is_one_taken_away_and_one_put_in() {
        let marked: Vec<_> = diff("Hello,\nyes.\nAda", "Hello,\nno.\nAda")
            .into_iter()
            .map(|line| format!("{} {}", line.op, line.text))
            .collect();
        assert_eq!(
            marked,
            ["equal Hello,", "delete yes.", "insert no.", "equal Ada"]
        );
        assert!(
            diff("a\nb", "a\nb")
                .iter()
                .all(|line| line.op == DiffOp::Equal)
        );
    }
}
