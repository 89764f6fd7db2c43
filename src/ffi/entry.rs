//! The exported symbols: negotiation. Pure: no thread, no allocation, no state.

use std::ffi::c_char;

use vms_failover_abi as abi;

use super::guard;
use super::traced::API;

/// The majors that this plugin speaks.
const MAJORS: std::ops::RangeInclusive<u32> = abi::VMSF_ABI_MAJOR..=abi::VMSF_ABI_MAJOR;

/// Who the plugin is; its pointers are to static text.
struct Info(abi::vmsf_info);

// SAFETY: the pointers are to static text that nobody writes (rule 1: `info` is valid as long as the library is loaded).
unsafe impl Sync for Info {}

static INFO: Info = Info(abi::vmsf_info {
    struct_size: size_of::<abi::vmsf_info>() as u32,
    config_schema: crate::config::SCHEMA,
    status_schema: crate::status::SCHEMA,
    reserved: 0,
    id: c"vms-failover".as_ptr(),
    name: c"VMS failover".as_ptr(),
    version: concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr() as *const c_char,
    build: concat!(env!("VMSF_BUILD"), "\0").as_ptr() as *const c_char,
});

/// See `vmsf_entry_fn` in the header.
///
/// # Safety
/// `io` is NULL or points to a `vmsf_handshake` as the header describes it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vmsf_plugin_entry(io: *mut abi::vmsf_handshake) -> abi::vmsf_result {
    // SAFETY: the host vouches for `io` (rule 1).
    guard::without_instance(|| unsafe { negotiate(io) })
}

/// The same entry function, for hosts in Rust that compare layouts first. The name is `checked::LOADER_SYMBOL`.
#[cfg(feature = "checked")]
#[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
pub static CHECKED_DOOR: abi::checked::Door = abi::checked::door::<ThisPlugin>();

#[cfg(feature = "checked")]
struct ThisPlugin;

#[cfg(feature = "checked")]
impl abi::checked::Plugin for ThisPlugin {
    const ENTRY: abi::vmsf_entry_fn = vmsf_plugin_entry;
}

/// # Safety
/// As `vmsf_plugin_entry`.
unsafe fn negotiate(io: *mut abi::vmsf_handshake) -> abi::vmsf_result {
    if io.is_null() {
        return abi::VMSF_ERR_INVALID;
    }
    // SAFETY: not NULL, and the host vouches for a u32 there (rule 2).
    let size = unsafe { io.cast::<u32>().read_unaligned() };
    if (size as usize) < size_of::<abi::vmsf_handshake>() {
        return abi::VMSF_ERR_INVALID;
    }
    // SAFETY: the host vouches for `size` bytes (rule 2).
    let mut handshake = unsafe { io.read_unaligned() };
    let result = answer(&mut handshake);
    // SAFETY: as above; nobody else has the struct during the call (rule 1).
    unsafe { io.write_unaligned(handshake) };
    result
}

fn answer(handshake: &mut abi::vmsf_handshake) -> abi::vmsf_result {
    let flags = std::mem::replace(&mut handshake.flags, abi::VMSF_PLUGIN_RESIDENT);
    handshake.abi_chosen = 0;
    handshake.abi_minor = abi::VMSF_ABI_MINOR;
    handshake.info = &INFO.0;
    handshake.api = std::ptr::null();
    if flags != 0 || handshake.abi_min > handshake.abi_max {
        return abi::VMSF_ERR_INVALID;
    }
    let highest = handshake.abi_max.min(*MAJORS.end());
    if highest < handshake.abi_min.max(*MAJORS.start()) {
        return abi::VMSF_ERR_ABI;
    }
    handshake.abi_chosen = highest;
    handshake.api = &API;
    abi::VMSF_OK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shake(size: u32, min: u32, max: u32, flags: u32) -> (abi::vmsf_result, abi::vmsf_handshake) {
        let mut io = abi::vmsf_handshake {
            struct_size: size,
            abi_min: min,
            abi_max: max,
            abi_chosen: 77,
            abi_minor: 77,
            flags,
            info: std::ptr::null(),
            api: std::ptr::null(),
        };
        // SAFETY: a whole struct of this frame (rule 1).
        (unsafe { vmsf_plugin_entry(&mut io) }, io)
    }

    #[test]
    fn the_highest_common_major_wins_and_a_refusal_still_says_who_the_plugin_is() {
        let size = size_of::<abi::vmsf_handshake>() as u32;
        let cases = [
            (size, 1, 1, 0, abi::VMSF_OK),
            (size + 8, 0, 9, 0, abi::VMSF_OK),
            (size, 2, 9, 0, abi::VMSF_ERR_ABI),
            (size, 0, 0, 0, abi::VMSF_ERR_ABI),
            (size, 2, 1, 0, abi::VMSF_ERR_INVALID),
            (size, 1, 1, 1, abi::VMSF_ERR_INVALID),
        ];
        for (size, min, max, flags, code) in cases {
            let (result, io) = shake(size, min, max, flags);
            assert_eq!(result, code, "{min}..{max} flags {flags}");
            assert_eq!(io.abi_chosen, u32::from(code == abi::VMSF_OK));
            assert_eq!(io.api.is_null(), code != abi::VMSF_OK);
            assert!(!io.info.is_null());
        }
    }

    #[test]
    fn a_struct_that_is_too_small_or_null_is_not_touched() {
        let (result, io) = shake(8, 1, 1, 0);
        assert_eq!((result, io.abi_chosen), (abi::VMSF_ERR_INVALID, 77));
        // SAFETY: NULL is checked before any use (rule 1).
        assert_eq!(unsafe { vmsf_plugin_entry(std::ptr::null_mut()) }, abi::VMSF_ERR_INVALID);
    }
}
