//! The extension `vmsf.secrets/1`, for a host that keeps the tokens itself: its three functions, turned into the safe trait [`SecretsHost`].

use std::ffi::{CStr, c_char, c_void};

use vms_failover_abi as abi;

use super::callbacks::{Context, context, counted};

/// A host that keeps the tokens of the monitored servers. The plugin calls it on its file worker or inside `poll`; it may block.
/// Every error is a `VMSF_ERR_…` code. A real host wipes each copy of a token but the kept one.
pub trait SecretsHost: Send + Sync {
    /// Keeps the token of a server, in the place of the one it had.
    ///
    /// # Errors
    /// What the plugin is to be told.
    fn store(&self, server_id: &str, secret: &[u8]) -> Result<(), abi::vmsf_result>;
    /// Calls `give` with the token of a server.
    ///
    /// # Errors
    /// `VMSF_ERR_NOT_FOUND` where there is none.
    fn load(&self, server_id: &str, give: &mut dyn FnMut(&[u8])) -> Result<(), abi::vmsf_result>;
    /// Deletes the token of a server.
    ///
    /// # Errors
    /// `VMSF_ERR_NOT_FOUND` where there is none.
    fn remove(&self, server_id: &str) -> Result<(), abi::vmsf_result>;
}

/// What `get_extension` gives; the plugin copies it.
static TABLE: abi::vmsf_secrets = abi::vmsf_secrets {
    struct_size: size_of::<abi::vmsf_secrets>() as u32,
    reserved: 0,
    store: Some(on_store),
    load: Some(on_load),
    remove: Some(on_remove),
};

/// The extensions of a host: this one, if it keeps tokens.
pub(super) unsafe extern "C" fn on_get_extension(ctx: *mut c_void, id: *const c_char) -> *const c_void {
    // SAFETY: rule 3: `ctx` is handed back as given, never after `release`.
    let context = unsafe { context(ctx) };
    // SAFETY: rule 3: strings passed to callbacks are NUL-terminated.
    let id = unsafe { CStr::from_ptr(id) };
    let known = id.to_bytes() == abi::VMSF_EXT_SECRETS.as_bytes();
    let offered = context.guard("get_extension", |host| known && host.secrets().is_some());
    if offered == Some(true) { (&raw const TABLE).cast() } else { std::ptr::null() }
}

/// Runs one of the functions; a panic, or no such host any more, is an error to the plugin.
fn answer(
    context: &Context,
    what: &'static str,
    body: impl FnOnce(&dyn SecretsHost) -> Result<(), abi::vmsf_result>,
) -> abi::vmsf_result {
    let done = context.guard(what, |host| host.secrets().map_or(Err(abi::VMSF_ERR_UNSUPPORTED), body));
    done.unwrap_or(Err(abi::VMSF_ERR_INTERNAL)).err().unwrap_or(abi::VMSF_OK)
}

unsafe extern "C" fn on_store(
    ctx: *mut c_void,
    server_id: *const c_char,
    len: usize,
    secret: *const u8,
    secret_len: usize,
) -> abi::vmsf_result {
    // SAFETY: rule 3: `ctx` is handed back as given, never after `release`.
    let context = unsafe { context(ctx) };
    // SAFETY: rule 3: strings passed to callbacks are counted and live until the callback returns.
    let id = unsafe { counted(server_id, len) };
    // SAFETY: rule 10: the token is never NULL and lives until the function returns.
    let secret = unsafe { std::slice::from_raw_parts(secret, secret_len) };
    answer(context, "store", |host| host.store(&id, secret))
}

unsafe extern "C" fn on_load(
    ctx: *mut c_void,
    server_id: *const c_char,
    len: usize,
    buf: *mut u8,
    cap: usize,
    secret_len: *mut usize,
) -> abi::vmsf_result {
    // SAFETY: rule 3: `ctx` is handed back as given, never after `release`.
    let context = unsafe { context(ctx) };
    // SAFETY: rule 3: strings passed to callbacks are counted and live until the callback returns.
    let id = unsafe { counted(server_id, len) };
    // SAFETY: rule 10 and the documentation of `load`: `cap` bytes of the plugin's, which it has filled before.
    let buf = unsafe { std::slice::from_raw_parts_mut(buf, cap) };
    let mut found = 0;
    let code = answer(context, "load", |host| {
        host.load(&id, &mut |secret| {
            found = secret.len();
            buf.get_mut(..found).into_iter().for_each(|room| room.copy_from_slice(secret));
        })
    });
    // SAFETY: the documentation of `load`, and rule 3: one usize is writable.
    unsafe { secret_len.write(found) };
    if code == abi::VMSF_OK && found > cap { abi::VMSF_ERR_TOO_SMALL } else { code }
}

unsafe extern "C" fn on_remove(ctx: *mut c_void, server_id: *const c_char, len: usize) -> abi::vmsf_result {
    // SAFETY: rule 3: `ctx` is handed back as given, never after `release`.
    let context = unsafe { context(ctx) };
    // SAFETY: rule 3: strings passed to callbacks are counted and live until the callback returns.
    let id = unsafe { counted(server_id, len) };
    answer(context, "remove", |host| host.remove(&id))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeMap;
    use std::sync::{Arc, Mutex};

    use crate::plugin::{Event, Host, Mode, Operation};

    /// Keeps tokens, unless it is told not to; panics over the server "panic".
    struct Keeper(Option<Mutex<BTreeMap<String, Vec<u8>>>>);

    impl Host for Keeper {
        fn event(&self, _: Event) {}
        fn begin(&self, _: Operation) {}
        fn secrets(&self) -> Option<&dyn SecretsHost> {
            self.0.as_ref().map(|_| self as _)
        }
    }

    impl SecretsHost for Keeper {
        fn store(&self, id: &str, secret: &[u8]) -> Result<(), abi::vmsf_result> {
            self.0.as_ref().unwrap().lock().unwrap().insert(id.to_owned(), secret.to_vec());
            Ok(())
        }
        fn load(&self, id: &str, give: &mut dyn FnMut(&[u8])) -> Result<(), abi::vmsf_result> {
            give(self.0.as_ref().unwrap().lock().unwrap().get(id).ok_or(abi::VMSF_ERR_NOT_FOUND)?);
            Ok(())
        }
        fn remove(&self, id: &str) -> Result<(), abi::vmsf_result> {
            assert_ne!(id, "panic", "on purpose");
            let removed = self.0.as_ref().unwrap().lock().unwrap().remove(id);
            removed.map(drop).ok_or(abi::VMSF_ERR_NOT_FOUND)
        }
    }

    fn extension(context: &Arc<Context>, id: &CStr) -> *const abi::vmsf_secrets {
        let host = context.table(Mode::Worker, c"test", c"1");
        // SAFETY: rule 3: `ctx` is this context, the id is NUL-terminated.
        unsafe { host.get_extension.unwrap()(host.ctx, id.as_ptr()) }.cast()
    }

    #[test]
    fn a_host_gives_the_extension_only_if_it_keeps_tokens_and_only_under_its_name() {
        let (with, without) = (Context::new(Box::new(Keeper(Some(Mutex::default())))), Keeper(None));
        assert!(!extension(&with, c"vmsf.secrets/1").is_null());
        assert!(extension(&with, c"vmsf.secrets/2").is_null() && extension(&with, c"").is_null());
        assert!(extension(&Context::new(Box::new(without)), c"vmsf.secrets/1").is_null());
    }

    #[test]
    fn what_the_plugin_calls_comes_to_the_host_and_its_answer_back() {
        let context = Context::new(Box::new(Keeper(Some(Mutex::default()))));
        // SAFETY: rule 2: a static table.
        let table = unsafe { *extension(&context, c"vmsf.secrets/1") };
        let ctx = context.table(Mode::Worker, c"test", c"1").ctx;
        let load = |cap: usize| {
            let (mut buf, mut len) = (vec![0; cap], 77);
            // SAFETY: rules 3 and 10: text and buffer are counted, all live during the call.
            let code = unsafe { table.load.unwrap()(ctx, c"a".as_ptr(), 1, buf.as_mut_ptr(), cap, &raw mut len) };
            (code, len, buf)
        };
        // SAFETY: rules 3 and 10: text and secret are counted and live during the call.
        let store =
            |secret: &[u8]| unsafe { table.store.unwrap()(ctx, c"a".as_ptr(), 1, secret.as_ptr(), secret.len()) };
        // SAFETY: rule 3: the text is counted and lives during the call.
        let remove = |id: &CStr| unsafe { table.remove.unwrap()(ctx, id.as_ptr(), id.count_bytes()) };
        assert_eq!(load(4), (abi::VMSF_ERR_NOT_FOUND, 0, vec![0; 4]));
        assert_eq!(store(b"xyz"), abi::VMSF_OK);
        assert_eq!(load(4), (abi::VMSF_OK, 3, b"xyz\0".to_vec()));
        assert_eq!(load(2), (abi::VMSF_ERR_TOO_SMALL, 3, vec![0; 2]));
        assert_eq!((remove(c"a"), remove(c"a")), (abi::VMSF_OK, abi::VMSF_ERR_NOT_FOUND));
        assert_eq!((remove(c"panic"), context.panicked().is_some()), (abi::VMSF_ERR_INTERNAL, true));
    }
}
