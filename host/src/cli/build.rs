//! stub
use std::path::*;
/// x
#[derive(Default)]
pub struct BuildOptions;
/// x
pub struct Built {
    /// x
    pub path: PathBuf,
}
/// x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct BuildError;
impl BuildError {
    /// x
    pub fn hint(&self) -> Option<String> {
        None
    }
}
/// x
pub fn build(_c: &[PathBuf], _i: &Path, _o: &BuildOptions) -> Result<Vec<Built>, BuildError> {
    todo!()
}
