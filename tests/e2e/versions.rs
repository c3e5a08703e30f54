//! Plugin versions while the real binary runs: swaps, probation, what is refused, what is kept.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dshost::batch::Digest;
use dshost::driver::versions::deployment::Deployment;
use dshost::driver::versions::load::{load_kept, plugin_engine};
use dshost::driver::versions::store::ComponentStore;
use dshost::journal::Directory;
use dshost::plugin::Profiling;
use dshost::topology::{self, Options};

use crate::support::job::{Job, counting, server, word_count};
use crate::support::{Folder, accept, assert_said, dshost, output, stdout, wait_for};

#[test]
fn a_swap_takes_effect_between_two_batches_and_loses_no_line() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let (topology, job, mut peer) = counting(&folder);
    let enough = Arc::new(AtomicBool::new(false));
    let feeder = {
        let enough = Arc::clone(&enough);
        std::thread::spawn(move || {
            let mut sent = 0u64;
            while !enough.load(Ordering::Relaxed) {
                peer.write_all(b"word\n").unwrap();
                sent += 1;
                std::thread::sleep(Duration::from_millis(1));
            }
            // Open for as long as the job runs.
            (sent, peer)
        })
    };
    let (mut old, mut new) = (count_of(&job.next_count(), "word"), None);
    assert!(old.is_some());
    folder.install("shouting", "wordcount");
    while new.is_none() {
        let count = job.next_count();
        new = count_of(&count, "WORD");
        let more = count_of(&count, "word");
        assert!(new.is_some() != more.is_some(), "one version: {count}");
        old = old.zip(more).map(|(old, more)| old + more).or(old);
    }
    let shown = output(dshost().arg("plugins").arg(&topology));
    assert_said(&stdout(&shown), &["live from batch"]);
    let status = output(dshost().args(["status", "--json"]).arg(&topology));
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["job"], "words");
    assert_eq!(status["aborted"], 0);
    enough.store(true, Ordering::Relaxed);
    let (sent, _open) = feeder.join().unwrap();
    let mut counted = old.unwrap() + new.unwrap();
    while counted < sent {
        let count = job.next_count();
        let more = count_of(&count, "WORD");
        counted += more.unwrap_or_else(|| panic!("never back: {count}"));
    }
    let (code, said, rest) = job.stop();
    assert_eq!(code, Some(0), "{said}");
    let more: Vec<&String> = rest.iter().filter(|line| line.starts_with('(')).collect();
    assert_eq!((counted, more), (sent, vec![]), "each line once");
}

/// The count of a word in a line `(word,count)`.
fn count_of(line: &str, word: &str) -> Option<u64> {
    let rest = line.strip_prefix('(')?.strip_prefix(word)?;
    rest.strip_prefix(',')?.strip_suffix(')')?.parse().ok()
}

#[test]
fn a_version_that_panics_on_probation_is_taken_back_and_the_batch_run_again() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let (topology, job, mut peer) = counting(&folder);
    peer.write_all(b"start\n").unwrap();
    assert_eq!(job.next_count(), "(start,1)");
    folder.install("fragile", "wordcount");
    wait_for("the new version to wait", || {
        let shown = output(dshost().args(["plugins", "--json"]).arg(&topology));
        let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).ok()?;
        let history = shown["history"].as_array()?;
        (!history.is_empty()).then_some(())
    });
    peer.write_all(b"boom\n").unwrap();
    assert_eq!(job.next_count(), "(boom,1)", "counted by the old version");
    peer.write_all(b"boom\n").unwrap();
    assert_eq!(job.next_count(), "(boom,1)", "which stays");
    let shown = output(dshost().arg("plugins").arg(&topology));
    let shown = stdout(&shown);
    assert!(shown.contains("refused"), "{shown}");
    assert!(shown.contains("this version cannot count it"), "{shown}");
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_version_that_does_not_fit_is_refused_and_the_old_one_runs_on() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let (listener, source) = server();
    let topology = folder.topology(
        &(word_count(&source)
            + "[stream.doubled]\nfrom = \"counts\"\nop = \"map_values\"\nfunction = \"ops/double\"\n\
               [sink.doubles]\nfrom = \"doubled\"\ntype = \"print\"\ncount = 0\n"),
    );
    folder.install("ops", "ops");
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    peer.write_all(b"a\n").unwrap();
    assert_eq!(job.next_count(), "(a,1)");
    let refused = |reason: &str| {
        wait_for(reason, || {
            let shown = stdout(&output(dshost().args(["plugins", "--json"]).arg(&topology)));
            shown.contains(reason).then_some(())
        });
    };
    folder.install("retyped", "wordcount");
    refused("float64");
    std::fs::write(folder.plugin("wordcount"), "#!/bin/sh\n").unwrap();
    refused("not WebAssembly");
    std::fs::remove_file(folder.plugin("wordcount")).unwrap();
    peer.write_all(b"b\n").unwrap();
    assert_eq!(job.next_count(), "(b,1)", "deleting a file changes nothing");
    folder.install("shouting", "wordcount");
    wait_for("the new version", || {
        peer.write_all(b"c\n").unwrap();
        (job.next_count().starts_with("(C,")).then_some(())
    });
    assert_eq!(job.stop().0, Some(0));
}

#[test]
fn two_versions_that_only_fit_together_are_taken_together() {
    let folder = Folder::new();
    let plugins = ["words", "pairs", "sums"];
    plugins
        .iter()
        .for_each(|plugin| folder.install("wordcount", plugin));
    let (listener, source) = server();
    let topology = word_count(&source)
        .replace("wordcount/split", "words/split")
        .replace("wordcount/pair", "pairs/pair")
        .replace("wordcount/add", "sums/add");
    let topology = folder.topology(&topology);
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    peer.write_all(b"a\n").unwrap();
    assert_eq!(job.next_count(), "(a,1)");
    folder.install("retyped", "pairs");
    wait_for("the first version to wait for the other", || {
        let shown = stdout(&output(dshost().args(["plugins", "--json"]).arg(&topology)));
        shown.contains("float64").then_some(())
    });
    peer.write_all(b"b\n").unwrap();
    assert_eq!(job.next_count(), "(b,1)", "alone it does not fit");
    folder.install("retyped", "sums");
    wait_for("both versions", || {
        peer.write_all(b"c\n").unwrap();
        job.next_count().contains('.').then_some(())
    });
    let shown = output(dshost().args(["plugins", "--json"]).arg(&topology));
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    let plugins = &shown["plugins"];
    assert_eq!(
        plugins["pairs"]["since"], plugins["sums"]["since"],
        "at one boundary"
    );
    assert_eq!(job.stop().0, Some(0));
}

#[test]
fn what_runs_is_kept_by_digest_and_can_be_bound_again_without_its_file() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let first = digest(&folder.plugin("wordcount"));
    let (topology, job, mut peer) = counting(&folder);
    peer.write_all(b"a\n").unwrap();
    assert_eq!(job.next_count(), "(a,1)");
    folder.install("shouting", "wordcount");
    let second = digest(&folder.plugin("wordcount"));
    wait_for("the new version", || {
        peer.write_all(b"a\n").unwrap();
        job.next_count().starts_with("(A,").then_some(())
    });
    std::fs::remove_file(folder.plugin("wordcount")).unwrap();
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");

    let directory = folder.path.path().join(".dshost/words");
    let kept = std::fs::read_dir(directory.join("plugins")).unwrap();
    assert_eq!(kept.count(), 2, "what runs and what it may fall back to");
    let store = ComponentStore::new(Arc::new(Directory::open(&directory)));
    let text = std::fs::read_to_string(&topology).unwrap();
    let options = Options {
        environment: &|_| None,
        workers: 1,
        observe: &[],
    };
    let plan = topology::parse(&topology, &text, &options).unwrap().plan;
    let engine = plugin_engine(&plan, 1, Profiling::Off).unwrap();
    for version in [first, second] {
        let programs = BTreeMap::from([("wordcount".to_owned(), version)]);
        let loaded = load_kept(&plan, &engine, &store, &programs).unwrap();
        let deployment = Deployment::compose(&plan, loaded).unwrap();
        assert_eq!(deployment.digests(), programs);
    }
    let programs = BTreeMap::from([("wordcount".to_owned(), Digest::of(b"another"))]);
    assert!(load_kept(&plan, &engine, &store, &programs).is_err());
}

/// The version that a plugin's file is.
fn digest(file: &Path) -> Digest {
    Digest::of(&std::fs::read(file).unwrap())
}
