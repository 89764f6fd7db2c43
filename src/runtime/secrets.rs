//! The door to a host that keeps the tokens itself. Says what such a place does; knows no pointer and decides nothing. Implemented by `ffi`
//! (`HostTable::secrets`), called by this room.

use std::sync::Arc;

use crate::error::Error;
use crate::secret::Secret;
use crate::state::tokens::Tokens;

/// Who keeps the tokens.
#[derive(Clone)]
pub enum Keeper {
    /// The plugin, in files of the state directory.
    Files(Arc<Tokens>),
    /// The host.
    Host(Arc<dyn SecretStore>),
}

/// Where tokens are kept when the host offers to keep them.
///
/// Every call may block, and is one of the host's callbacks: only the file worker or `poll` makes it, so one at a time, with no lock held. After
/// the instance has ended each gives VMSF_ERR_STATE. VMSF_ERR_IO: the host says that it failed. VMSF_ERR_INVALID: what the host says makes no
/// sense.
pub trait SecretStore: Send + Sync {
    /// Keeps the token of a server, in the place of the one it had; it outlives a power loss when this returns.
    fn store(&self, id: &str, secret: &Secret) -> Result<(), Error>;

    /// The token of a server; None where there is none.
    fn load(&self, id: &str) -> Result<Option<Secret>, Error>;

    /// Deletes the token of a server; none there is well, too.
    fn remove(&self, id: &str) -> Result<(), Error>;
}
