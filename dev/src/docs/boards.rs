//! `dashboards/panels.md`: every panel of the boards with what it shows, from the boards' own JSON.

use super::head;
use serde_json::Value;

const BOARDS: [(&str, &str); 2] = [
    ("queue.json", include_str!("../../../dashboards/queue.json")),
    (
        "models.json",
        include_str!("../../../dashboards/models.json"),
    ),
];

/// Prints the page.
///
/// # Panics
/// If a board is not one of Grafana's with a title on each panel: the tests of the boards say more.
pub(super) fn page() -> String {
    let introduction = "\
What each panel shows, and what a bad value means. A worker samples the queue once for all workers, and each of them
reports that sample: take `max` over instances before you add anything up.
";
    let mut text = head("Panels", introduction);
    for (file, json) in BOARDS {
        let board: Value = serde_json::from_str(json).expect("a board is JSON");
        text.push_str(&format!("\n## {} (`{file}`)\n\n", word(&board, "title")));
        for panel in board["panels"].as_array().into_iter().flatten() {
            let title = word(panel, "title");
            if panel["type"] == "row" {
                text.push_str(&format!("\n**{title}**\n\n"));
            } else {
                text.push_str(&format!("- **{title}**: {}\n", word(panel, "description")));
            }
        }
    }
    text
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .expect("a board or panel has this text")
}
