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
use abi_stable::library::{CheckTypeLayout, LibHeader, LibraryError, RootModule, RootModuleResult};
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
    let no_door = |error| match error {
        LibraryError::OpenError { err, .. } => format!("the plugin does not load: {err}"),
        LibraryError::GetSymbolError { .. } => format!(
            "not a vms-failover plugin, or built without the feature \"checked\"; it has no {LOADER_SYMBOL}: {}",
            library.display()
        ),
        other => other.to_string(),
    };
    // Not `Root::load_from_file`: that would give the first library again, whatever the path.
    let header = abi_stable::library::lib_header_from_path(library).map_err(no_door)?;
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

#[cfg(test)]
mod tests {
    use abi_stable::abi_stability::abi_checking::check_layout_compatibility;

    use super::*;

    /// Another build of the same module: `info` and the entry function are as its arguments say.
    macro_rules! another {
        ($name:ident, $build:ident: $build_type:ty, ($($argument:ident: $argument_type:ty),*)) => {
            // Nothing of it is used but its layout.
            #[allow(dead_code)]
            mod $name {
                use super::*;

                #[repr(C)]
                #[derive(StableAbi)]
                pub struct vmsf_info {
                    struct_size: u32,
                    config_schema: u32,
                    status_schema: u32,
                    reserved: u32,
                    id: *const c_char,
                    name: *const c_char,
                    version: *const c_char,
                    $build: $build_type,
                }

                #[repr(C)]
                #[derive(StableAbi)]
                pub struct vmsf_handshake {
                    struct_size: u32,
                    abi_min: u32,
                    abi_max: u32,
                    abi_chosen: u32,
                    abi_minor: u32,
                    flags: u32,
                    info: *const vmsf_info,
                    api: *const vmsf_api,
                }

                #[repr(C)]
                #[derive(StableAbi)]
                #[sabi(kind(Prefix(prefix_ref = Root, prefix_fields = RootFields)))]
                #[sabi(phantom_field(secrets: vmsf_secrets))]
                pub struct RootModuleOfPlugin {
                    #[sabi(last_prefix_field)]
                    pub entry: unsafe extern "C" fn($($argument: $argument_type),*) -> vmsf_result,
                }
            }
        };
    }

    another!(same, build: *const c_char, (io: *mut vmsf_handshake));
    another!(other_name, made: *const c_char, (io: *mut vmsf_handshake));
    another!(other_type, build: *const u16, (io: *mut vmsf_handshake));
    another!(other_signature, build: *const c_char, (io: *mut vmsf_handshake, flags: u32));

    fn refusal<Other: StableAbi>() -> Option<String> {
        check_layout_compatibility(Root::LAYOUT, Other::LAYOUT).err().map(|errors| errors.to_string())
    }

    #[test]
    fn what_differs_behind_a_pointer_or_in_a_signature_is_refused_with_its_name() {
        assert_eq!(refusal::<same::Root>(), None, "the same declarations are the same, wherever they were compiled");
        let cases = [
            (refusal::<other_name::Root>(), "made"),
            (refusal::<other_type::Root>(), "u16"),
            (refusal::<other_signature::Root>(), "flags"),
        ];
        for (refusal, word) in cases {
            assert!(refusal.as_ref().is_some_and(|text| text.contains(word)), "{word}: {refusal:?}");
        }
    }

    #[test]
    fn the_check_reaches_every_struct_field_and_signature() {
        let reached = format!("{:#?}", Root::LAYOUT);
        let names = include_str!("lib.rs").lines().filter_map(|line| {
            let name = line.trim_start().strip_prefix("pub ")?;
            name.strip_prefix("struct ")
                .and_then(|rest| rest.strip_suffix(" {"))
                .or(name.split_once(':').map(|pair| pair.0))
        });
        let names: Vec<_> = names.filter(|name| !name.contains(' ')).collect();
        assert_eq!(names.len(), 97, "the structs and their fields: {names:?}");
        names.iter().for_each(|name| assert!(reached.contains(name), "{name} is not compared"));
    }

    #[test]
    fn the_version_is_the_major_of_the_abi() {
        assert_eq!(Root::VERSION_STRINGS.version.as_str(), format!("{VMSF_ABI_MAJOR}.0.0"));
    }
}
