//! The extension `vmsf.secrets/1`: the host's own place for tokens, behind the trait that `runtime` knows.
//!
//! The table is checked and copied in `create`. Its functions are called as the other callbacks are: the thread is marked as inside one, and
//! none comes after `release`. Whatever the host answers is looked at before it is believed. No buffer with a token is left unwiped. Made by
//! `host`, called by `runtime`.

use std::ffi::{CString, c_char, c_void};
use std::sync::Arc;

use vms_failover_abi as abi;
use zeroize::Zeroizing;

use super::host::{HostTable, Inside, c_text, read_sized};
use crate::error::{self, Error};
use crate::runtime::secrets::SecretStore;
use crate::secret::{self, Secret};

type StoreFn = unsafe extern "C" fn(*mut c_void, *const c_char, usize, *const u8, usize) -> abi::vmsf_result;
type LoadFn = unsafe extern "C" fn(*mut c_void, *const c_char, usize, *mut u8, usize, *mut usize) -> abi::vmsf_result;
type RemoveFn = unsafe extern "C" fn(*mut c_void, *const c_char, usize) -> abi::vmsf_result;

/// The functions of a checked table.
#[derive(Clone, Copy)]
pub struct Functions {
    store: StoreFn,
    load: LoadFn,
    remove: RemoveFn,
}

impl Functions {
    /// Copies and checks what `get_extension` gave; NULL is a host that does not keep tokens.
    ///
    /// # Safety
    /// `table` is NULL or points to a `vmsf_secrets` as the header describes it.
    pub unsafe fn read(table: *const c_void) -> Result<Option<Functions>, Error> {
        if table.is_null() {
            return Ok(None);
        }
        // SAFETY: the caller vouches for it; a vmsf_secrets is integers and optional functions (rule 2).
        let table: abi::vmsf_secrets = unsafe { read_sized("vmsf_secrets", table.cast()) }?;
        if table.reserved != 0 {
            return Err(Error::new(abi::VMSF_ERR_INVALID, "vmsf_secrets.reserved is not zero"));
        }
        let missing = |name| Error::new(abi::VMSF_ERR_INVALID, format!("vmsf_secrets.{name} is NULL; it is required"));
        Ok(Some(Functions {
            store: table.store.ok_or_else(|| missing("store"))?,
            load: table.load.ok_or_else(|| missing("load"))?,
            remove: table.remove.ok_or_else(|| missing("remove"))?,
        }))
    }
}

/// The host as a keeper of tokens.
pub struct HostSecrets {
    host: Arc<HostTable>,
    functions: Functions,
}

impl HostSecrets {
    /// Of this host, whose functions these are.
    pub fn new(host: Arc<HostTable>, functions: Functions) -> HostSecrets {
        HostSecrets { host, functions }
    }

    /// Calls one of the functions for a server, unless `release` was called.
    fn call(
        &self,
        name: &'static str,
        id: &str,
        function: impl FnOnce(*mut c_void, *const c_char, usize) -> abi::vmsf_result,
    ) -> Result<abi::vmsf_result, Error> {
        let id: CString = c_text(id);
        let call = || self.host.counted(Inside::Callback, |ctx| function(ctx, id.as_ptr(), id.as_bytes().len()));
        let called = self.host.traced(name, call, |line, code| _ = code.map(|code| line.result(code)));
        called
            .ok_or_else(|| Error::new(abi::VMSF_ERR_STATE, "the instance has ended: the host keeps no tokens any more"))
    }
}

impl SecretStore for HostSecrets {
    fn store(&self, id: &str, secret: &Secret) -> Result<(), Error> {
        let (store, bytes) = (self.functions.store, secret.as_bytes());
        // SAFETY: id and token live until the function returns; it is called before `release` alone (rules 3 and 10).
        let code =
            self.call("store", id, |ctx, id, len| unsafe { store(ctx, id, len, bytes.as_ptr(), bytes.len()) })?;
        if code == abi::VMSF_OK { Ok(()) } else { Err(failed("store", id, code)) }
    }

    fn load(&self, id: &str) -> Result<Option<Secret>, Error> {
        let load = self.functions.load;
        let mut buf = Zeroizing::new(vec![0; secret::MAX]);
        let mut found = 0;
        let code = self.call("load", id, |ctx, id, len| {
            let (buf, cap) = (buf.as_mut_ptr(), buf.len());
            // SAFETY: the id lives until the function returns, `cap` bytes and one usize are writable; before `release` alone (rules 3 and 10).
            unsafe { load(ctx, id, len, buf, cap, &raw mut found) }
        })?;
        match code {
            abi::VMSF_ERR_NOT_FOUND => Ok(None),
            // The length is the host's word, and may be anything.
            abi::VMSF_OK if (1..=secret::MAX).contains(&found) => Secret::copied(&buf[..found]).map(Some),
            abi::VMSF_OK | abi::VMSF_ERR_TOO_SMALL => {
                let (gave, name, max) = (gave("load", id), error::name(code), secret::MAX);
                let text =
                    format!("{gave} {name} and says {found} bytes: a token has 1 to {max}, and there was room for it");
                Err(Error::new(abi::VMSF_ERR_INVALID, text))
            }
            code => Err(failed("load", id, code)),
        }
    }

    fn remove(&self, id: &str) -> Result<(), Error> {
        let remove = self.functions.remove;
        // SAFETY: the id lives until the function returns; it is called before `release` alone (rules 3 and 10).
        let code = self.call("remove", id, |ctx, id, len| unsafe { remove(ctx, id, len) })?;
        if matches!(code, abi::VMSF_OK | abi::VMSF_ERR_NOT_FOUND) { Ok(()) } else { Err(failed("remove", id, code)) }
    }
}

fn gave(function: &str, id: &str) -> String {
    format!("the host's vmsf_secrets.{function} for '{id}' gave")
}

/// What the host says of a failure, which may be no result code at all.
fn failed(function: &str, id: &str, code: abi::vmsf_result) -> Error {
    let gave = gave(function, id);
    if error::is_known(code) {
        Error::new(abi::VMSF_ERR_IO, format!("{gave} {}", error::name(code)))
    } else {
        Error::new(abi::VMSF_ERR_INVALID, format!("{gave} {code}, which is no result code"))
    }
}
