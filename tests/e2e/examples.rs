//! The examples, as their READMEs say: built, tested, run.

use std::fs;

use crate::support::guests::root;
use crate::support::{Folder, dshost, output, stderr, stdout};

/// A copy of an example with its plugins beside it, so that tests do not write into the tree.
fn copy(example: &str, plugins: &[&str]) -> Folder {
    let folder = Folder::new();
    for file in ["topology.toml", "scenario.toml"] {
        let text = fs::read_to_string(root().join("examples").join(example).join(file)).unwrap();
        folder.file(file, &text);
    }
    for plugin in plugins {
        folder.install(plugin, plugin);
    }
    folder
}

#[test]
fn every_example_has_a_readme_and_a_scenario_that_holds() {
    let examples = [("wordcount", ["wordcount"]), ("errors", ["lines"])];
    let mut known: Vec<String> = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    known.sort();
    assert_eq!(known, ["errors", "wordcount"], "every example is run here");
    for (example, plugins) in examples {
        assert!(
            root()
                .join("examples")
                .join(example)
                .join("README.md")
                .exists()
        );
        let folder = copy(example, &plugins);
        let scenario = folder.path.path().join("scenario.toml");
        let result = output(
            dshost()
                .args(["test", "--workers", "1,2,3,7"])
                .arg(scenario),
        );
        assert!(result.status.success(), "{example}:\n{}", stdout(&result));
        let topology = folder.path.path().join("topology.toml");
        let check = output(dshost().arg("check").arg(topology));
        assert!(check.status.success(), "{example}:\n{}", stderr(&check));
    }
}
