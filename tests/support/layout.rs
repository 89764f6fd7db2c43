//! Sizes and offsets of every struct of the ABI, measured by the compiler.

use vms_failover_abi as abi;

/// A struct as the compiler lays it out.
pub struct Struct {
    pub name: &'static str,
    pub size: usize,
    pub align: usize,
    pub fields: Vec<Field>,
}

/// A field as the compiler lays it out.
pub struct Field {
    pub name: &'static str,
    pub offset: usize,
    pub size: usize,
}

fn size_of_field<S, F>(_: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

macro_rules! layout {
    ($($name:ident { $($field:ident)* })*) => {
        vec![$(Struct {
            name: stringify!($name),
            size: size_of::<abi::$name>(),
            align: align_of::<abi::$name>(),
            fields: vec![$(Field {
                name: stringify!($field),
                offset: core::mem::offset_of!(abi::$name, $field),
                size: size_of_field(|item: &abi::$name| &item.$field),
            }),*],
        }),*]
    };
}

/// Every struct, in the order of the source. A test compares the names with the source.
pub fn structs() -> Vec<Struct> {
    layout! {
        vmsf_info { struct_size config_schema status_schema reserved id name version build }
        vmsf_handshake { struct_size abi_min abi_max abi_chosen abi_minor flags info api }
        vmsf_event {
            struct_size kind severity flags seq mono_ns utc_ms server json json_len reserved
        }
        vmsf_operation {
            struct_size kind flags attempt id deadline_ns server json json_len secret secret_len reserved
        }
        vmsf_host {
            struct_size flags ctx name version log log_level event begin wake release get_extension reserved
        }
        vmsf_secrets { struct_size reserved store load remove }
        vmsf_api {
            struct_size reserved
            create start stop destroy configure edit
            poll
            notify now_ns server next_server server_id config status log recordings_ini progress last_error
            cluster join_cluster authorize deauthorize backup takeover restore cancel maintenance drill complete
            result_name get_extension
        }
    }
}
