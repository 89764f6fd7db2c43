//! The second door to the same entry function, for hosts in Rust: `abi_stable` compares what host and plugin were built from before either calls the other.
//!
//! The root module has one field, the entry function. From its signature the layout check reaches every struct, field and signature of
//! the ABI, and `vmsf_secrets` as a phantom field, because only an untyped pointer leads there. Nothing else of the tree names
//! `abi_stable`, and no struct has a field for it: without this file, the derives in `lib.rs` and the feature `checked`, the C ABI stays
//! as it is to the byte.
//!
//! What a host has to know of `abi_stable`: it never unloads a library (the plugin stays mapped anyway, rule 13), both sides need the same
//! 0.x of it and of this crate, and it is no longer developed. Who wants none of that takes the first door, as every other language does.

use std::path::Path;

pub use abi_stable::StableAbi;
use abi_stable::library::{CheckTypeLayout, LibHeader, RootModule, RootModuleResult};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::sabi_types::VersionStrings;

use crate::*;

/// The module that the plugin exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = Root, prefix_fields = RootFields)), phantom_field(secrets: vmsf_secrets))]
pub struct RootModuleOfPlugin {
    /// See `vmsf_entry_fn`; written out, because the check sees no signature through the alias.
    #[sabi(last_prefix_field)]
    pub entry: unsafe extern "C" fn(io: *mut vmsf_handshake) -> vmsf_result,
}

impl RootModule for Root {
    abi_stable::declare_root_module_statics! {Root}
    const BASE_NAME: &'static str = "vms_failover";
    const NAME: &'static str = "vms_failover";
    // The major of the ABI: that of a release gates nothing.
    const VERSION_STRINGS: VersionStrings = VersionStrings::new("1.0.0");
}

/// Loads the plugin, for ever, and compares its side of the ABI with that of this build.
///
/// # Errors
/// A text that says what does not load, or what differs.
pub fn entry(library: &Path) -> Result<vmsf_entry_fn, String> {
    // Not `Root::load_from_file`: that would give the first library again, whatever the path.
    let header = abi_stable::library::lib_header_from_path(library).map_err(|error| error.to_string())?;
    Ok(header.init_root_module::<Root>().map_err(|error| error.to_string())?.entry())
}

/// What a plugin exports as [`LOADER_SYMBOL`], made by [`door`].
pub type Door = LibHeader;

/// The name under which `abi_stable` looks for a [`Door`].
pub const LOADER_SYMBOL: &str = abi_stable::library::ROOT_MODULE_LOADER_NAME;

/// A plugin, known by its entry function.
pub trait Plugin {
    /// Its entry function, the same one that it exports as `VMSF_ENTRY_SYMBOL`.
    const ENTRY: vmsf_entry_fn;
}

/// The door of a plugin.
pub const fn door<P: Plugin>() -> Door {
    // SAFETY: `root` gives a module of the type `Root`; the entry function behind it is that of rule 1.
    unsafe { LibHeader::from_constructor::<Root>(root::<P>, CheckTypeLayout::Yes) }
}

extern "C" fn root<P: Plugin>() -> RootModuleResult {
    abi_stable::library::__call_root_module_loader(|| RootModuleOfPlugin { entry: P::ENTRY }.leak_into_prefix())
}
