//! The rules of this repository as a test, and for each rule a proof that it can fail.
//!
//! The scanner knows comments, literals, `use` groups and braces, but it is no compiler: it finds
//! slips, not intent.

#![allow(clippy::unwrap_used)]

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use rules::Rule;
use source::{Source, functions, paths, without_prose, without_tests};

/// Directories of source, below the repository. What is built or found by fuzzing is not source.
const ROOMS: [&str; 7] = ["src", "tests", "examples", "benches", "fuzz", "docs", ".ci"];
const NOT_SOURCE: [&str; 4] = ["target", "corpus", "artifacts", "fixtures"];

fn repository() -> &'static [Source] {
    static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
    SOURCES.get_or_init(read_repository)
}

fn read_repository() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && ROOMS.contains(&name.as_str()) {
            gather(&path, &name, &mut sources);
        } else if path.is_file() {
            add(&path, &name, &mut sources);
        }
    }
    assert!(sources.iter().any(|source| source.path == "src/lib.rs"), "nothing was read");
    sources
}

fn gather(dir: &Path, prefix: &str, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let relative = format!("{prefix}/{name}");
        if path.is_file() {
            add(&path, &relative, sources);
        } else if !NOT_SOURCE.contains(&name.as_str()) {
            gather(&path, &relative, sources);
        }
    }
}

fn add(path: &Path, relative: &str, sources: &mut Vec<Source>) {
    let text = ["rs", "md", "toml", "sh", "yml"];
    let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
    if extension.is_some_and(|found| text.contains(&found.as_str())) || relative == ".ci/run" {
        sources.push(Source::new(relative, &fs::read_to_string(path).unwrap()));
    }
}

fn check(rule: Rule) {
    let sins: Vec<String> = repository().iter().flat_map(rule).collect();
    assert!(sins.is_empty(), "{} found:\n{}", sins.len(), sins.join("\n"));
}

#[track_caller]
fn finds(rule: Rule, path: &str, text: &str) {
    assert!(!rule(&Source::new(path, text)).is_empty(), "not found in {path}: {text}");
}

#[track_caller]
fn accepts(rule: Rule, path: &str, text: &str) {
    let sins = rule(&Source::new(path, text));
    assert!(sins.is_empty(), "{path}: {text}: {sins:?}");
}

// ------------------------------------------------------------------------------------- the rules

#[test]
fn imports_point_down() {
    check(rules::floors);
}

#[test]
fn files_and_functions_are_short() {
    check(rules::file_length);
    check(rules::function_length);
}

#[test]
fn unsafe_stands_in_three_files_and_is_forbidden_elsewhere() {
    check(rules::unsafe_places);
    check(rules::unsafe_is_forbidden);
    check(rules::unsafe_is_allowed);
}

#[test]
fn numbers_on_disk_have_a_fixed_length() {
    check(rules::lengths_on_disk);
}

#[test]
fn the_rule_of_lengths_can_fail() {
    finds(rules::lengths_on_disk, "src/log/x.rs", "fn f() { usize::from_le_bytes(a) }");
    finds(rules::lengths_on_disk, "src/log/x.rs", "fn f() { usize::to_le_bytes(a) }");
    finds(rules::lengths_on_disk, "src/log/x.rs", "fn f() { x.len().to_le_bytes() }");
    finds(rules::lengths_on_disk, "src/log/x.rs", "fn f() { (x as usize).to_le_bytes() }");
    accepts(rules::lengths_on_disk, "src/log/x.rs", "fn f() { u32::from_le_bytes(a) }");
    accepts(rules::lengths_on_disk, "src/log/x.rs", "fn f() { (x.len() as u64).to_le_bytes() }");
}

#[test]
fn files_time_and_sleep_have_one_door() {
    check(rules::file_system_places);
    check(rules::clock_places);
    check(rules::sleeps);
}

#[test]
fn everything_is_finished() {
    check(rules::unfinished);
}

#[test]
fn source_is_ascii() {
    check(rules::ascii);
}

#[test]
fn no_failed_write_goes_unseen() {
    check(rules::ignored_io);
}

#[test]
fn no_machine_is_named() {
    check(rules::machine_names);
}

#[test]
fn the_core_depends_on_little() {
    check(rules::dependencies);
}

// ------------------------------------------------------------------- each rule can fail, and pass

#[test]
fn the_floor_rule_can_fail() {
    let rule = rules::floors;
    finds(rule, "src/log/mod.rs", "use crate::stage::Stage;");
    finds(rule, "src/client/poll.rs", "use crate::{base::Error, node::Node};");
    finds(rule, "src/client/poll.rs", "fn f() -> crate::log::View { crate::log::view() }");
    finds(rule, "src/client/poll.rs", "use crate::{base::{Error, ids}, batch, disk as d};");
    finds(rule, "src/base/error.rs", "use super::super::batch::Batch;");
    finds(rule, "src/base/error.rs", "mod tests { use super::super::super::log; }");
    finds(rule, "src/backend.rs", "use super::client::Consumer;");
    finds(rule, "src/base/ids.rs", "use crate::Producer;");
    finds(rule, "src/base/ids.rs", "pub use crate::event_log::EventLog;");
    finds(rule, "src/attic/mod.rs", "use std::fmt;");
    accepts(rule, "src/log/mod.rs", "use crate::{base::Error, batch::{Batch, self}, log::view};");
    accepts(rule, "src/node/serve.rs", "use crate::coord::Catalog; use crate::disk::Disk;");
    accepts(rule, "src/base/error.rs", "mod tests { use super::super::ids; } use super::ids;");
    accepts(rule, "src/base/error.rs", "/// [`Delivery`](crate::client::Delivery)\n// crate::log");
    accepts(rule, "src/base/error.rs", "pub(crate) fn f() { crate::check!(\"crate::log::x\") }");
    accepts(rule, "src/event_log.rs", "use crate::{client, node::Node};");
}

#[test]
fn the_length_rules_can_fail() {
    let long = "// a line\n".repeat(601);
    finds(rules::file_length, "src/log/mod.rs", &format!("fn f() {{}}\n{long}"));
    accepts(rules::file_length, "src/log/tests.rs", &long);
    accepts(rules::file_length, "src/log/mod.rs", &"// a line\n".repeat(600));
    let body =
        |lines: usize| format!("impl A {{ fn f<T>(x: [u8; 2]) {{\n{}}} }}", "f();\n".repeat(lines));
    finds(rules::function_length, "src/log/mod.rs", &body(70));
    accepts(rules::function_length, "src/log/mod.rs", &body(60));
    let test = format!("#[cfg(test)]\nmod tests {{ {} }}", body(99));
    accepts(rules::function_length, "src/log/mod.rs", &test);
}

#[test]
fn the_unsafe_rules_can_fail() {
    finds(rules::unsafe_places, "src/log/mod.rs", "fn f() { unsafe { g() } }");
    finds(rules::unsafe_places, "tests/x.rs", "unsafe impl Send for A {}");
    accepts(rules::unsafe_places, "src/disk/map.rs", "fn f() { unsafe { g() } }");
    accepts(rules::unsafe_places, "src/lib.rs", "// unsafe\n#![deny(unsafe_op_in_unsafe_fn)]");

    let rule = rules::unsafe_is_forbidden;
    finds(rule, "src/lib.rs", "mod base;");
    finds(rule, "src/lib.rs", "#[forbid(unsafe_code)]\nmod base;\npub mod batch;");
    finds(rule, "src/lib.rs", "// #![deny(unsafe_code)]\npub(crate) mod log;");
    accepts(rule, "src/lib.rs", "#[forbid(unsafe_code)]\n#[doc(hidden)]\npub mod base;\nmod disk;");
    accepts(rule, "src/lib.rs", "#![deny(unsafe_code)]\nmod base;");

    finds(rules::unsafe_is_allowed, "src/log/mod.rs", "#[allow(unsafe_code)]\nfn f() {}");
    accepts(rules::unsafe_is_allowed, "src/disk/block.rs", "#![allow(unsafe_code)]");
}

#[test]
fn the_file_system_rule_can_fail() {
    let rule = rules::file_system_places;
    finds(rule, "src/log/mod.rs", "use std::fs;");
    finds(rule, "src/log/mod.rs", "use ::std::fs::read;");
    finds(rule, "src/log/mod.rs", "use std::{io, fs::File};");
    finds(rule, "src/log/mod.rs", "fn f() { let x = File::open(p)?; }");
    finds(rule, "src/disk/sim.rs", "fn f() { fs::read(p) }");
    finds(rule, "src/log/mod.rs", "use std::os::unix::fs::FileExt;");
    accepts(rule, "src/disk/os.rs", "use std::fs::File;");
    accepts(rule, "src/log/mod.rs", "fn f(file: &dyn DiskFile) { DiskFile::sync(file) }");
    accepts(rule, "src/log/mod.rs", "#[cfg(test)]\nmod tests { use std::fs; }");
}

#[test]
fn the_time_rules_can_fail() {
    let rule = rules::clock_places;
    finds(rule, "src/log/mod.rs", "fn f() { let t = std::time::SystemTime::now(); }");
    finds(rule, "src/log/mod.rs", "fn f() { x.get_or_init(Instant::now) }");
    finds(rule, "src/log/mod.rs", "fn f() { rustix::time::clock_gettime(id) }");
    finds(rule, "tests/api.rs", "fn f() { SystemTime::now() }");
    accepts(rule, "src/base/clock.rs", "fn f() { Instant::now() }");
    accepts(rule, "src/log/mod.rs", "// Instant::now\nfn f() { g(\"Instant::now\"); clock.now() }");

    finds(rules::sleeps, "src/log/mod.rs", "#[cfg(test)] fn f() { std::thread::sleep(x) }");
    finds(rules::sleeps, "tests/api.rs", "use std::thread::{self, sleep};");
    finds(rules::sleeps, "tests/api.rs", "fn f() { thread::sleep(x) }");
    accepts(rules::sleeps, "tests/api.rs", "fn f() { thread::park_timeout(x) }");
}

#[test]
fn the_rule_of_finished_work_can_fail() {
    let rule = rules::unfinished;
    finds(rule, "src/log/mod.rs", concat!("fn f() { to", "do!() }"));
    finds(rule, "tests/api.rs", concat!("fn f() { std::unimpl", "emented!(\"later\") }"));
    finds(rule, "src/log/mod.rs", concat!("// FIX", "ME: later"));
    finds(rule, "docs/format.md", concat!("XX", "X"));
    accepts(rule, "src/log/mod.rs", "fn f() { let todo = 1; if todo != 2 {} }");
}

#[test]
fn the_ascii_rule_can_fail() {
    finds(rules::ascii, "src/log/mod.rs", "fn f() {}\n// caf\u{e9}");
    finds(rules::ascii, "tests/api.rs", "let x = \"\u{200b}\";");
    accepts(rules::ascii, "src/log/mod.rs", "let x = \"\\u{e4}\";");
    accepts(rules::ascii, "docs/format.md", "caf\u{e9}");
}

#[test]
fn the_rule_of_seen_failures_can_fail() {
    let rule = rules::ignored_io;
    finds(rule, "src/log/mod.rs", "fn f() { let _ = file.write_at(&[x], 0); }");
    finds(rule, "src/log/mod.rs", "fn f() {\n let _ =\n file\n.sync();\n }");
    finds(rule, "src/log/mod.rs", "fn f() { if x { self.flush_all(y(1)).ok(); } }");
    accepts(rule, "src/log/mod.rs", "fn f() { let _ = writeln!(text, \"x\"); let _ = a.get(1); }");
    accepts(rule, "src/log/mod.rs", "fn f() { let done = file.sync(); file.sync()?; }");
    accepts(rule, "src/log/mod.rs", "#[cfg(test)] mod tests { fn f() { let _ = file.sync(); } }");
}

#[test]
fn the_rule_of_machine_names_can_fail() {
    let rule = rules::machine_names;
    finds(rule, "docs/a.md", concat!("see /ho", "me/me/notes"));
    finds(rule, "src/lib.rs", concat!("// C:\\Us", "ers\\me"));
    finds(rule, ".ci/run", concat!("curl http:", "//build-7/x"));
    finds(rule, "src/lib.rs", concat!("//! http:", "//localhost:9092"));
    finds(rule, "README.md", concat!("http:", "//printer.lan:80/"));
    accepts(rule, "README.md", "[docs](https://docs.rs/alluvium), https://github.com/x/y. Done");
}

#[test]
fn the_rule_of_few_dependencies_can_fail() {
    let rule = rules::dependencies;
    finds(rule, "Cargo.toml", "[dependencies]\nserde = \"1\"\n");
    accepts(rule, "Cargo.toml", "[dependencies]\nbytes = \"1\"\n[dev-dependencies]\ncsv = \"1\"\n");
    accepts(rule, "Cargo.toml", "[dependencies]\nlz4 = { version = \"1\", optional = true }\n");
}

// --------------------------------------------------------------------------------- the scanner

#[test]
fn prose_is_blanked_and_lines_stay() {
    let cases = [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("\"a\\\"b\" c", "\"    \" c"),
        ("r#\"a\"b\"# c", "r#\"   \"# c"),
        ("br\"\\\" c", "br\" \" c"),
        ("br#\"\\\"# 'a' b", "br#\" \"# ' ' b"),
        ("'\"' '\\'' 'a 'x'", "' ' '  ' 'a ' '"),
        ("f::<'a>('{')", "f::<'a>(' ')"),
        ("'\u{e4}' x", "'  ' x"),
    ];
    for (text, expected) in cases {
        assert_eq!(without_prose(text), expected, "{text}");
    }
    assert_eq!(without_prose("\"open").len(), 5);
    assert_eq!(without_prose("/* open").len(), 7);
}

#[test]
fn test_code_is_set_apart() {
    let code = "a\n#[cfg(test)]\nmod t { x { } }\nb\n\
                #[cfg(all(test, loom))]\nuse c;\n#[test]\nfn d() {}\ne";
    let shipped = without_tests(code);
    assert_eq!(shipped.split_whitespace().collect::<Vec<_>>(), ["a", "b", "e"]);
    assert_eq!(shipped.lines().count(), code.lines().count());
    let kept = "#[cfg(not(test))] mod a {} #[cfg(any(test, fuzzing))] mod b {}";
    assert_eq!(without_tests(kept), kept);
}

#[test]
fn use_groups_are_spelled_out() {
    let code = "use a::{b, c::{d, e as f}, self};\nx.y::<z>(); ::g::h!(); Vec::<i>::j()";
    let found: Vec<_> = paths(code).iter().map(|path| path.names.join("::")).collect();
    for path in ["a::b", "a::c::d", "a::c::e", "a::self", "g::h", "z", "Vec"] {
        assert!(found.iter().any(|name| name == path), "{path} in {found:?}");
    }
    assert!(!found.iter().any(|name| name == "j" || name == "f"), "{found:?}");
}

#[test]
fn functions_are_measured_by_their_braces() {
    let code = "trait A { fn a(); fn b() -> [u8; 2] {\n\n} }\nfn c(f: fn(u8)) { if x { } }";
    let found: Vec<_> = functions(code).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
    assert_eq!(found, [("b".to_owned(), 1, 3), ("c".to_owned(), 4, 1)]);
}
