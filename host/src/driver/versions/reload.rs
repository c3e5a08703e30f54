//! Watches the plugin directory and proposes new versions, off the batch path.
//!
//! Events are hints: the directory is looked at when one comes and now and then anyway, and a file
//! counts only when two readings give the same content. What is read is compiled, checked and
//! composed with the versions in use; what does not fit alone is held, in case another plugin's
//! change makes it fit.
//!
//! Start reading at [`Reloader::run`].

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use notify::Watcher;
use tracing::{debug, warn};

use crate::batch::Digest;
use crate::driver::event::{Answer, Reply, RollbackState};
use crate::driver::versions::deployment::{Components, Deployment, PluginVersion};
use crate::driver::versions::shared::Versions;
use crate::driver::versions::store::ComponentStore;
use crate::driver::versions::succession::VersionEvent;
use crate::plugin::{ComponentFile, Engine, LoadError};
use crate::topology::plan::{Plan, PluginPlan};
use crate::topology::problem::with_causes;

/// Between two looks when no event comes: events get lost when queues overflow and directories are
/// replaced, and some file systems send none.
const RESCAN: Duration = Duration::from_secs(1);

/// Between the two readings that must agree.
const SETTLE: Duration = Duration::from_millis(30);

/// How often a file that keeps changing is read again before it is left for the next look.
const MAX_READINGS: usize = 20;

/// Held versions of which every combination is tried; of more only all together, and each alone.
const MAX_TOGETHER: usize = 6;

/// The thread's state.
pub struct Reloader {
    plan: Arc<Plan>,
    engine: Engine,
    versions: Versions,
    store: ComponentStore,
    seen: BTreeMap<String, Seen>,
    held: Components,
    dropped: u64,
    /// Versions that must be kept beside those that may run.
    needed: Box<dyn Fn() -> BTreeSet<Digest> + Send>,
    /// Lets the job go back to a version of a plugin and the state of then.
    take_back: Box<TakeBack>,
}

/// Lets the job go back to a version of a plugin and the state of then, or says why it cannot.
type TakeBack = dyn Fn(&str, Digest) -> Result<(), String> + Send;

/// What a plugin's file was like at the last look.
#[derive(Default)]
struct Seen {
    stamp: Option<Stamp>,
    digest: Option<Digest>,
    /// The last trouble with reading it, told once.
    trouble: Option<String>,
}

/// What changes when a file is written or replaced.
#[derive(Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<std::time::SystemTime>,
    length: u64,
    inode: u64,
}

/// Asks a running reloader to end, when dropped. It is not waited for: it may be compiling, and
/// what it proposes then nobody takes.
pub struct ReloaderHandle {
    desk: VersionDesk,
    hints: Option<SyncSender<()>>,
    stop: Arc<std::sync::atomic::AtomicBool>,
}

impl ReloaderHandle {
    /// Where a version can be asked for.
    #[must_use]
    pub fn desk(&self) -> VersionDesk {
        self.desk.clone()
    }
}

/// Where a running reloader is asked for a version; clones are the same.
#[derive(Clone)]
pub struct VersionDesk {
    hints: SyncSender<()>,
    requests: Sender<Rollback>,
}

/// A plugin's version before the last swap is asked for.
struct Rollback {
    plugin: String,
    state: RollbackState,
    reply: Reply,
}

impl VersionDesk {
    /// Asks for the version of a plugin before the last swap; the answer comes when it is compiled.
    pub fn roll_back(&self, plugin: String, state: RollbackState, reply: Reply) {
        // A reloader that has ended drops the reply, which says so.
        let _ = self.requests.send(Rollback {
            plugin,
            state,
            reply,
        });
        let _ = self.hints.try_send(());
    }
}

impl Drop for ReloaderHandle {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        if let Some(hints) = self.hints.take() {
            // A full queue wakes it as well.
            let _ = hints.try_send(());
        }
    }
}

impl Reloader {
    /// Starts from the versions in use; what it proposes is in `store` before.
    #[must_use]
    pub fn new(plan: Arc<Plan>, engine: Engine, versions: Versions, store: ComponentStore) -> Self {
        let seen = versions
            .latest()
            .iter()
            .map(|(name, component)| {
                let digest = Some(component.digest());
                (
                    name.clone(),
                    Seen {
                        digest,
                        ..Seen::default()
                    },
                )
            })
            .collect();
        Self {
            plan,
            engine,
            versions,
            store,
            seen,
            held: Components::new(),
            dropped: 0,
            needed: Box::new(BTreeSet::new),
            take_back: Box::new(|_, _| Err("nothing of the job's state is kept".to_owned())),
        }
    }

    /// What `needed` gives is kept, too, because a start may run it again.
    #[must_use]
    pub fn keeping(mut self, needed: impl Fn() -> BTreeSet<Digest> + Send + 'static) -> Self {
        self.needed = Box::new(needed);
        self
    }

    /// The state of before a swap can be gone back to.
    #[must_use]
    pub fn taking_back(
        mut self,
        take_back: impl Fn(&str, Digest) -> Result<(), String> + Send + 'static,
    ) -> Self {
        self.take_back = Box::new(take_back);
        self
    }

    /// Looks at every plugin's file now, before any batch is run: what lies there may be the cure of one
    /// that cannot be run.
    #[must_use]
    pub fn having_looked(mut self) -> Self {
        self.look();
        self
    }

    /// Runs on a thread of its own until the handle is dropped.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn spawn(self) -> std::io::Result<ReloaderHandle> {
        let (hints, hinted) = sync_channel(1);
        let (requests, requested) = channel();
        let desk = VersionDesk {
            hints: hints.clone(),
            requests,
        };
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (ours, stopped) = (hints.clone(), Arc::clone(&stop));
        std::thread::Builder::new()
            .name("reloader".to_owned())
            .spawn(move || self.run(ours, &hinted, &requested, &stopped))?;
        Ok(ReloaderHandle {
            desk,
            hints: Some(hints),
            stop,
        })
    }

    fn run(
        mut self,
        hints: SyncSender<()>,
        hinted: &Receiver<()>,
        requested: &Receiver<Rollback>,
        stop: &std::sync::atomic::AtomicBool,
    ) {
        // Kept until the end: dropping it ends the events.
        let _watcher = watch(&self.plan.plugins.dir, hints);
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            while let Ok(Rollback {
                plugin,
                state,
                reply,
            }) = requested.try_recv()
            {
                reply(match self.roll_back(&plugin, state) {
                    Ok(digest) => Answer::RolledBack(digest),
                    Err(reason) => Answer::Error(reason),
                });
            }
            self.look();
            if hinted.recv_timeout(RESCAN) == Err(RecvTimeoutError::Disconnected) {
                return;
            }
        }
    }

    /// Proposes the version of a plugin that ran before the last swap, or lets the job go back to it with
    /// its state; the one that runs is refused by then, until its file changes. What cannot be done is
    /// told in words.
    fn roll_back(&mut self, plugin: &str, state: RollbackState) -> Result<Digest, String> {
        let mut used = self.plan.plugins.used.iter();
        let used = used.find(|used| used.name == plugin);
        let used = used.ok_or_else(|| format!("the job has no plugin `{plugin}`"))?;
        let mut components = self.versions.latest();
        let now = components[plugin].digest();
        let previous = self.versions.previous(plugin).filter(|one| *one != now);
        let previous = previous.ok_or_else(|| format!("no other version of `{plugin}` has run"))?;
        let file = self.store.get(plugin, previous);
        let component = file.and_then(|file| self.engine.load(&file, &used.limits));
        let component: Arc<dyn PluginVersion> = component.map_err(|error| with_causes(&error))?;
        components.insert(plugin.to_owned(), component);
        let deployment = Deployment::compose(&self.plan, components);
        let deployment = deployment.map_err(|error| with_causes(&error))?;
        if state == RollbackState::OfThen {
            (self.take_back)(plugin, previous)?;
            return Ok(previous);
        }
        let proposed = self.versions.propose_back(deployment, plugin);
        proposed.map_err(|error| error.to_string())?;
        self.held.remove(plugin);
        Ok(previous)
    }

    /// Looks at every plugin's file once.
    fn look(&mut self) {
        let plan = Arc::clone(&self.plan);
        let dropped = self.versions.dropped();
        if std::mem::replace(&mut self.dropped, dropped) != dropped {
            // A proposal was dropped, for no fault of each of its versions: look at every file
            // afresh.
            self.seen.clear();
        }
        let mut news = false;
        for plugin in &plan.plugins.used {
            match self.changed(plugin) {
                Ok(Some(file)) => news |= self.load(plugin, &file),
                Ok(None) => {}
                Err(error) => self.tell_trouble(plugin, &error),
            }
        }
        if news {
            self.compose();
        }
    }

    /// The file's content, if it is stable and other than what is known.
    fn changed(&mut self, plugin: &PluginPlan) -> Result<Option<ComponentFile>, LoadError> {
        let path = ComponentFile::path(&self.plan.plugins.dir, &plugin.name);
        let seen = self.seen.entry(plugin.name.clone()).or_default();
        let Some(stamp) = stamp(&path) else {
            // Deleting a file changes nothing; it may come back.
            if seen.stamp.take().is_some() {
                let path = path.display();
                warn!(
                    plugin = plugin.name,
                    "`{path}` is gone, the job runs on with what it has"
                );
            }
            return Ok(None);
        };
        if seen.stamp.as_ref() == Some(&stamp) {
            return Ok(None);
        }
        let read = || ComponentFile::read(&self.plan.plugins.dir, &plugin.name, &plugin.limits);
        let mut file = read()?;
        for _ in 0..MAX_READINGS {
            std::thread::sleep(SETTLE);
            let again = read()?;
            let stable = again.digest() == file.digest();
            file = again;
            if stable {
                seen.stamp = Some(stamp);
                // After trouble its note is to be replaced, even if the content is the old one.
                let told = seen.trouble.is_some();
                let known = seen.digest.replace(file.digest()) == Some(file.digest());
                return Ok((told || !known).then_some(file));
            }
        }
        debug!(
            plugin = plugin.name,
            "the file keeps changing, left for the next look"
        );
        Ok(None)
    }

    /// Compiles and checks a changed file; whether there is something to compose.
    fn load(&mut self, plugin: &PluginPlan, file: &ComponentFile) -> bool {
        let name = &plugin.name;
        let told = self.seen.get_mut(name).and_then(|seen| seen.trouble.take());
        self.held.remove(name);
        self.versions.tell(VersionEvent::WaitsNoMore {
            plugin: name.clone(),
        });
        if self.versions.is_refused(name, file.digest()) {
            return false;
        }
        self.versions.forget_refusal(name);
        if self.versions.latest()[name].digest() == file.digest() {
            return false;
        }
        match self.engine.load(file, &plugin.limits) {
            Ok(component) => match self.store.keep(file) {
                Ok(()) => {
                    self.held.insert(name.clone(), component);
                    self.let_go();
                    true
                }
                // A disk may have room again.
                Err(error) => self.try_again(plugin, told, &error),
            },
            // Its own fault is not shown yet.
            Err(error) if error.is_passing() => self.try_again(plugin, told, &error),
            Err(error) => {
                self.versions
                    .refuse(name, file.digest(), &with_causes(&error));
                false
            }
        }
    }

    /// The next look is to load the file again; `told` is the trouble that was told before.
    fn try_again(&mut self, plugin: &PluginPlan, told: Option<String>, error: &dyn Error) -> bool {
        let seen = Seen {
            trouble: told,
            ..Seen::default()
        };
        self.seen.insert(plugin.name.clone(), seen);
        self.tell_trouble(plugin, error);
        false
    }

    /// Lets go of components that nothing names any more.
    fn let_go(&self) {
        let mut named = self.versions.named();
        named.extend((self.needed)());
        named.extend(self.held.values().map(|version| version.digest()));
        self.store.retain(&named);
    }

    /// Proposes what is held: as many versions together as fit, else whatever fits alone.
    fn compose(&mut self) {
        let held: Vec<(String, Arc<dyn PluginVersion>)> = self.held.clone().into_iter().collect();
        for chosen in largest_first(held.len()) {
            let chosen = chosen.into_iter().map(|index| held[index].clone());
            let changes: Components = chosen.collect();
            let names: Vec<String> = changes.keys().cloned().collect();
            match self.propose(changes) {
                Ok(()) => {
                    self.held.retain(|name, _| !names.contains(name));
                    break;
                }
                Err(reason) => debug!(?names, "held versions do not fit together: {reason}"),
            }
        }
        for (name, component) in self.held.clone() {
            let digest = component.digest();
            match self.propose([(name.clone(), component)].into()) {
                Ok(()) => drop(self.held.remove(&name)),
                Err(reason) => self.hold(&name, digest, &reason),
            }
        }
    }

    fn propose(&self, changes: Components) -> Result<(), String> {
        let mut components = self.versions.latest();
        components.extend(changes);
        let deployment =
            Deployment::compose(&self.plan, components).map_err(|error| with_causes(&error))?;
        self.versions
            .propose(deployment)
            .map_err(|error| error.to_string())
    }

    /// It is refused as things stand, but kept, in case another plugin's change makes it fit.
    fn hold(&self, plugin: &str, digest: Digest, reason: &str) {
        warn!(
            plugin,
            digest = digest.short(),
            "not taken, the old version runs on: {reason}"
        );
        self.versions.tell(VersionEvent::Waits {
            plugin: plugin.to_owned(),
            digest: Some(digest),
            reason: reason.to_owned(),
        });
    }

    /// A file that cannot be read has no digest to refuse; it is told once, until something
    /// changes.
    fn tell_trouble(&mut self, plugin: &PluginPlan, error: &dyn Error) {
        let reason = with_causes(error);
        let seen = self.seen.entry(plugin.name.clone()).or_default();
        if seen.trouble.as_ref() != Some(&reason) {
            warn!(
                plugin = plugin.name,
                "not taken, the old version runs on: {reason}"
            );
            seen.trouble = Some(reason.clone());
        }
        self.versions.tell(VersionEvent::Waits {
            plugin: plugin.name.clone(),
            digest: None,
            reason,
        });
    }
}

/// The ways to choose several of `count` things, those of most things first; beyond
/// [`MAX_TOGETHER`] only all of them.
fn largest_first(count: usize) -> Vec<Vec<usize>> {
    if count > MAX_TOGETHER {
        return vec![(0..count).collect()];
    }
    let chosen = |set: u32| {
        (0..count)
            .filter(move |index| set >> index & 1 == 1)
            .collect()
    };
    let mut choices: Vec<Vec<usize>> = (0..1 << count).map(chosen).collect();
    choices.retain(|chosen| chosen.len() > 1);
    choices.sort_by_key(|chosen| std::cmp::Reverse(chosen.len()));
    choices
}

/// Sends a hint for every event; none where the system cannot watch, and then looks are by
/// [`RESCAN`] only.
fn watch(dir: &Path, hints: SyncSender<()>) -> Option<notify::RecommendedWatcher> {
    let hint = move |_: notify::Result<notify::Event>| {
        // One hint that waits is as good as many.
        let _ = hints.try_send(());
    };
    let watcher = notify::recommended_watcher(hint).and_then(|mut watcher| {
        watcher.watch(dir, notify::RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher
        .inspect_err(|error| {
            warn!(dir = %dir.display(), "cannot watch the plugin directory, looking every {RESCAN:?}: {error}");
        })
        .ok()
}

fn stamp(path: &PathBuf) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        inode: metadata.ino(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_chosen_together_the_most_first() {
        let three = [vec![0, 1, 2], vec![0, 1], vec![0, 2], vec![1, 2]];
        assert_eq!(largest_first(3), three);
        assert_eq!(largest_first(1), [[0; 0]; 0]);
        assert_eq!(
            largest_first(MAX_TOGETHER + 1),
            [(0..=MAX_TOGETHER).collect::<Vec<_>>()]
        );
    }
}
