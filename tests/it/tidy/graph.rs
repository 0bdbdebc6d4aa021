//! Which file of our crates names which: the `use` trees and paths of the shipped code, resolved to files.
//!
//! A name that a parent re-exports counts for the file that defines it. What stands in macros and unit tests is not seen.

use crate::support::sources::{self, Source};
use std::collections::{BTreeMap, BTreeSet};
use syn::{
    ItemMod, ItemUse, UseTree, Visibility,
    visit::{self, Visit},
};

/// Our crates and where their sources lie.
const CRATES: [(&str, &str); 7] = [
    ("base", "crates/base/src/"),
    ("queue", "crates/queue/src/"),
    ("llm", "crates/llm/src/"),
    ("jobs", "jobs/src/"),
    ("api", "api/src/"),
    ("worker", "worker/src/"),
    ("dev", "dev/src/"),
];

/// A module by its crate and the names below it: `["jobs", "domain", "action"]`.
pub(super) type Module = Vec<String>;

/// One file and the files of ours that it names.
pub(super) struct Node {
    pub(super) path: String,
    pub(super) module: Module,
    pub(super) names: BTreeSet<Module>,
}

/// Every file of our crates, in the order of paths.
pub(super) fn nodes() -> Vec<Node> {
    let files: BTreeMap<Module, File> = sources::rust().iter().filter_map(read).collect();
    files
        .iter()
        .map(|(module, file)| Node {
            path: file.path.clone(),
            module: module.clone(),
            names: file
                .named
                .iter()
                .filter_map(|path| definer(&files, path, 0))
                .filter(|named| named != module)
                .collect(),
        })
        .collect()
}

/// What is read of one file.
struct File {
    path: String,
    /// Absolute paths, the crate first.
    named: Vec<Module>,
    /// A name that this file passes on, and the path it stands for.
    passed_on: BTreeMap<String, Module>,
}

/// The file that defines what the path names, through the files that pass it on.
fn definer(files: &BTreeMap<Module, File>, path: &[String], depth: u32) -> Option<Module> {
    let known = (1..=path.len())
        .rev()
        .find(|length| files.contains_key(&path[..*length]))?;
    let module = &path[..known];
    let passed_on = path
        .get(known)
        .and_then(|name| files[module].passed_on.get(name));
    match passed_on {
        // A name may be passed on as itself: the module and the function of one name.
        Some(target) if depth < 8 => {
            let rest = [target.as_slice(), &path[known + 1..]].concat();
            definer(files, &rest, depth + 1)
        }
        _ => Some(module.to_vec()),
    }
}

fn read(source: &Source) -> Option<(Module, File)> {
    let module = module_of(&source.path)?;
    let syntax =
        syn::parse_file(&source.text).unwrap_or_else(|error| panic!("{}: {error}", source.path));
    let mut reader = Reader {
        scope: vec![module.clone()],
        children: BTreeSet::new(),
        imported: BTreeMap::new(),
        uses: Vec::new(),
        paths: Vec::new(),
    };
    reader.visit_file(&syntax);
    let mut file = File {
        path: source.path.clone(),
        named: Vec::new(),
        passed_on: BTreeMap::new(),
    };
    for (path, name, public) in std::mem::take(&mut reader.uses) {
        if public {
            file.passed_on.insert(name, path.clone());
            // A parent that passes on what its children define does not depend on it.
            if path.starts_with(&module) {
                continue;
            }
        }
        file.named.push(path);
    }
    file.named.append(&mut reader.paths);
    Some((module, file))
}

/// `jobs/src/domain/action.rs` → `["jobs", "domain", "action"]`; nothing for tests and for files outside our crates.
fn module_of(path: &str) -> Option<Module> {
    let (name, below) = CRATES
        .iter()
        .find_map(|(name, folder)| path.strip_prefix(folder).map(|below| (name, below)))?;
    let below = below.strip_suffix(".rs")?;
    if below.ends_with("/tests") || below == "main" {
        return None;
    }
    let mut module = vec![(*name).to_owned()];
    if below != "lib" {
        module.extend(below.split('/').map(str::to_owned));
    }
    Some(module)
}

struct Reader {
    /// The module that is being read; the last is the innermost.
    scope: Vec<Module>,
    children: BTreeSet<String>,
    /// Names that `use` brought in, for paths that start with one of them.
    imported: BTreeMap<String, Module>,
    uses: Vec<(Module, String, bool)>,
    paths: Vec<Module>,
}

impl Reader {
    /// The absolute path, if its head is a crate of ours, a keyword, a child or an imported name.
    fn resolve(&self, path: &[String]) -> Option<Module> {
        let here = self.scope.last().expect("a file has a module");
        let (head, rest) = path.split_first()?;
        let from = match head.as_str() {
            "crate" => here[..1].to_vec(),
            "self" => here.clone(),
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                let kept = here.len().checked_sub(ups)?;
                return Some([&here[..kept], &path[ups..]].concat());
            }
            name if self.children.contains(name) => {
                return Some([here.as_slice(), path].concat());
            }
            name if self.imported.contains_key(name) => self.imported[name].clone(),
            name if CRATES.iter().any(|(ours, _)| *ours == name) => vec![head.clone()],
            _ => return None,
        };
        Some([from.as_slice(), rest].concat())
    }

    fn take(&mut self, tree: &UseTree, before: &[String], public: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        let (path, name) = match tree {
            UseTree::Path(path) => return self.take(&path.tree, &with(&path.ident), public),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.take(tree, before, public);
                }
                return;
            }
            UseTree::Name(name) if name.ident == "self" => {
                (before.to_vec(), before.last().cloned().unwrap_or_default())
            }
            UseTree::Name(name) => (with(&name.ident), name.ident.to_string()),
            UseTree::Rename(renamed) => (with(&renamed.ident), renamed.rename.to_string()),
            UseTree::Glob(_) => (before.to_vec(), String::new()),
        };
        if let Some(path) = self.resolve(&path) {
            self.imported.insert(name.clone(), path.clone());
            self.uses.push((path, name, public));
        }
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<syn::Ident>()
                .is_ok_and(|flag| flag == "test")
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_file(&mut self, file: &'ast syn::File) {
        // First the children and the imports: a path may stand above the `use` that it needs.
        for item in &file.items {
            if let syn::Item::Mod(ItemMod {
                ident,
                content: None,
                ..
            }) = item
            {
                self.children.insert(ident.to_string());
            }
        }
        for item in &file.items {
            if let syn::Item::Use(item) = item {
                self.visit_item_use(item);
            }
        }
        for item in &file.items {
            if !matches!(item, syn::Item::Use(_)) {
                self.visit_item(item);
            }
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if !is_for_tests(&item.attrs) && item.content.is_some() {
            let inner = [
                self.scope.last().expect("a file has a module").as_slice(),
                &[item.ident.to_string()],
            ]
            .concat();
            self.scope.push(inner);
            visit::visit_item_mod(self, item);
            self.scope.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let public = !matches!(item.vis, Visibility::Inherited);
        self.take(&item.tree, &[], public);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if names.len() > 1
            && let Some(path) = self.resolve(&names)
        {
            self.paths.push(path);
        }
        visit::visit_path(self, path);
    }
}
