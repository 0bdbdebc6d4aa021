//! No circle between files: of two files neither of which contains the other, at most one may name the other, by whatever way.

use super::{
    graph::{self, Module, Node},
    hold,
};
use std::collections::{BTreeMap, BTreeSet};

#[test]
fn files_do_not_name_each_other_in_circles() {
    let nodes = graph::nodes();
    let circles = circles(&nodes);
    hold(
        circles
            .iter()
            .map(|(path, names)| format!("{path} names {names:?}, which lead back to it"))
            .collect(),
    );
}

/// The files on circles, each with those it names that lead back to it.
fn circles(nodes: &[Node]) -> BTreeMap<&str, Vec<&str>> {
    let names: BTreeMap<&Module, BTreeSet<&Module>> = nodes
        .iter()
        .map(|node| {
            // A file and those below it are one room: children use what their parent defines, and it calls them.
            let others = node.names.iter().filter(|named| {
                !named.starts_with(&node.module) && !node.module.starts_with(named)
            });
            (&node.module, others.collect())
        })
        .collect();
    let paths: BTreeMap<&Module, &str> = nodes
        .iter()
        .map(|node| (&node.module, node.path.as_str()))
        .collect();
    let mut circles = BTreeMap::new();
    for (module, others) in &names {
        let back: Vec<&str> = others
            .iter()
            .filter(|other| leads_to(&names, other, module))
            .map(|other| paths[*other])
            .collect();
        if !back.is_empty() {
            circles.insert(paths[*module], back);
        }
    }
    circles
}

fn leads_to(names: &BTreeMap<&Module, BTreeSet<&Module>>, from: &Module, wanted: &Module) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut left = vec![from];
    while let Some(module) = left.pop() {
        if module == wanted {
            return true;
        }
        let next = names.get(module).into_iter().flatten();
        left.extend(next.filter(|next| seen.insert(**next)));
    }
    false
}

#[test]
fn circle_of_three_files_is_found_and_a_parent_with_its_child_is_none() {
    let node = |path: &str, names: &[&str]| {
        let module = |path: &str| path.split("::").map(str::to_owned).collect::<Vec<_>>();
        Node {
            path: path.to_owned(),
            module: module(path),
            names: names.iter().map(|name| module(name)).collect(),
        }
    };
    let nodes = [
        node("c::a", &["c::b"]),
        node("c::b", &["c::d"]),
        node("c::d", &["c::a", "c::leaf"]),
        node("c::leaf", &[]),
        node("c::up", &["c::up::down"]),
        node("c::up::down", &["c::up"]),
    ];
    let found = circles(&nodes);
    assert_eq!(Vec::from_iter(found.keys()), [&"c::a", &"c::b", &"c::d"]);
}
