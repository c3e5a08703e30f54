//! `log::info!` and its kin reach the host's log.

/// Sends the log of this instance to the host. Once is enough, more does no harm.
pub fn install() {
    #[cfg(target_arch = "wasm32")]
    if log::set_logger(&HostLog).is_ok() {
        log::set_max_level(log::LevelFilter::Trace);
    }
}

#[cfg(target_arch = "wasm32")]
struct HostLog;

#[cfg(target_arch = "wasm32")]
impl log::Log for HostLog {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        use crate::wit::host::{self, Level};
        let level = match record.level() {
            log::Level::Error => Level::Error,
            log::Level::Warn => Level::Warn,
            log::Level::Info => Level::Info,
            log::Level::Debug => Level::Debug,
            log::Level::Trace => Level::Trace,
        };
        host::log(level, &record.args().to_string());
    }

    fn flush(&self) {}
}
