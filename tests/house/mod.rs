//! The house rules that a machine can check: who may import whom, and that SQL text is never parsed by others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Members of the workspace and the members that each depends on, development dependencies included.
fn members() -> BTreeMap<String, BTreeSet<String>> {
    let read = |path: PathBuf| -> toml::Table {
        std::fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
            .parse()
            .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let workspace = read(root().join("Cargo.toml"));
    let paths = workspace["workspace"]["members"]
        .as_array()
        .expect("members are a list");
    let manifests: Vec<toml::Table> = paths
        .iter()
        .map(|p| read(root().join(p.as_str().expect("a path")).join("Cargo.toml")))
        .collect();
    let name = |m: &toml::Table| m["package"]["name"].as_str().expect("a name").to_owned();
    let names: BTreeSet<String> = manifests.iter().map(name).collect();
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    manifests
        .iter()
        .map(|m| {
            let all = tables
                .iter()
                .filter_map(|t| m.get(*t)?.as_table())
                .flat_map(|t| t.keys().cloned());
            (name(m), all.filter(|d| names.contains(d)).collect())
        })
        .collect()
}

#[test]
fn crates_import_only_what_the_design_allows() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("tsdb-types", &[][..]),
        ("tsdb-codec", &["tsdb-types"]),
        ("tsdb", &["tsdb-types", "tsdb-codec"]),
        ("query-lang", &[]),
        ("query", &["query-lang", "tsdb"]),
        ("ingest-decode", &["tsdb"]),
        ("ingest-schemas", &["ingest-decode", "tsdb"]),
        ("ingest", &["ingest-decode", "ingest-schemas", "tsdb"]),
        ("server", &["ingest", "query", "tsdb"]),
    ]);
    let members = members();
    for (name, imports) in &members {
        assert!(
            !imports.contains("tidemill"),
            "{name} imports tools, which nothing may"
        );
        let Some(allowed) = allowed.get(name.as_str()) else {
            continue;
        };
        for import in imports {
            assert!(
                allowed.contains(&import.as_str()),
                "{name} must not import {import}"
            );
        }
    }
    assert!(
        allowed.keys().all(|name| members.contains_key(*name)),
        "a crate of the design is missing"
    );
}

#[test]
fn only_the_query_layer_and_above_reach_datafusion_and_nothing_reaches_sqlparser() {
    let lock =
        std::fs::read_to_string(root().join("Cargo.lock")).expect("the lock file is readable");
    let lock: toml::Table = lock.parse().expect("the lock file is TOML");
    let packages = lock["package"].as_array().expect("packages are a list");
    let dependencies: BTreeMap<&str, Vec<&str>> = packages
        .iter()
        .map(|p| {
            let list = p.get("dependencies").and_then(|d| d.as_array());
            let names = list
                .into_iter()
                .flatten()
                .filter_map(|d| d.as_str()?.split(' ').next());
            (p["name"].as_str().expect("a name"), names.collect())
        })
        .collect();
    // The lock file also lists what no feature turns on, so what is built is asked of cargo.
    let tree = std::process::Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "--workspace",
            "--invert",
            "sqlparser",
        ])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "{said}");
    assert!(
        tree.stdout.is_empty() && said.contains("nothing to print"),
        "SQL is parsed by query-lang alone"
    );
    for crate_name in [
        "tsdb-types",
        "tsdb-codec",
        "tsdb",
        "query-lang",
        "ingest-decode",
        "ingest-schemas",
        "ingest",
    ] {
        let (mut seen, mut next) = (BTreeSet::new(), vec![crate_name]);
        while let Some(name) = next.pop() {
            assert!(name != "datafusion", "{crate_name} reaches DataFusion");
            if seen.insert(name) {
                next.extend(dependencies.get(name).into_iter().flatten());
            }
        }
    }
}

#[test]
fn sources_name_no_path_of_a_machine_and_no_file_is_huge() {
    fn walk(dir: &Path, f: &mut impl FnMut(&Path)) {
        for entry in std::fs::read_dir(dir).expect("a readable folder").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let skip = [
                "target",
                ".git",
                ".cache",
                "node_modules",
                "tidemill-data",
                "tidemill-demo",
            ];
            // In a second work tree `.git` is a file, which names the first.
            if skip.iter().any(|s| name == *s) {
                continue;
            }
            if path.is_dir() {
                walk(&path, f);
            } else if path.is_file() {
                f(&path);
            }
        }
    }
    let mut checked = 0;
    walk(&root(), &mut |path| {
        let size = path.metadata().map_or(0, |m| m.len());
        assert!(size <= 5_000_000, "{} has {size} bytes", path.display());
        let Ok(text) = std::fs::read_to_string(path) else {
            return;
        };
        checked += 1;
        for prefix in ["/home", "/root", "/work"] {
            let needle = format!("{prefix}/");
            assert!(
                !text.contains(&needle),
                "{} names a path below {prefix}",
                path.display()
            );
        }
    });
    assert!(checked > 100, "only {checked} files were looked at");
}
