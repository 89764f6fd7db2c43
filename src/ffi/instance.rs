//! The living instances of this process, behind checked handles.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use vms_failover_abi as abi;

use super::host::HostTable;
use crate::error::Error;
use crate::handle::{self, Kind};
use crate::runtime::Runtime;

/// One instance with what only the border needs.
pub struct Instance {
    /// What it does.
    pub runtime: Arc<Runtime>,
    /// Whom it works for.
    pub host: Arc<HostTable>,
    /// Held by the control member that runs; the host serialises them.
    pub control: Mutex<()>,
    last_error: Mutex<Option<Error>>,
    ended: AtomicBool,
}

type Slot = Option<(abi::vmsf_plugin, Arc<Instance>)>;

static INSTANCES: RwLock<Vec<Slot>> = RwLock::new(Vec::new());

impl Instance {
    /// An instance that has made no error yet.
    pub fn new(runtime: Arc<Runtime>, host: Arc<HostTable>) -> Instance {
        Instance { runtime, host, control: Mutex::new(()), last_error: Mutex::new(None), ended: AtomicBool::new(false) }
    }

    /// It is destroyed; set with `control` held. A call that found it before finds it out now.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether it is destroyed.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Keeps an error for `last_error`, if it is of the kind that is kept.
    pub fn keep_error(&self, error: &Error) {
        if error.is_kept() {
            *self.last_error.lock() = Some(error.clone());
        }
    }

    /// The last error kept.
    pub fn last_error(&self) -> Option<Error> {
        self.last_error.lock().clone()
    }
}

/// Makes an instance known; gives its handle.
pub fn insert(instance: Instance) -> abi::vmsf_plugin {
    let mut instances = INSTANCES.write();
    let index = instances.iter().position(Option::is_none).unwrap_or(instances.len());
    if index == instances.len() {
        instances.push(None);
    }
    let handle = handle::new(Kind::Plugin, index);
    instance.runtime.is_known_as(handle);
    instance.host.is_known_as(handle);
    instances[index] = Some((handle, Arc::new(instance)));
    handle
}

/// The instance behind a handle, unless it is stale or none.
pub fn get(handle: abi::vmsf_plugin) -> Option<Arc<Instance>> {
    let index = handle::index(handle, Kind::Plugin)?;
    let instances = INSTANCES.read();
    let (known, instance) = instances.get(index)?.as_ref()?;
    (*known == handle).then(|| Arc::clone(instance))
}

/// Forgets an instance: its handle is stale from now on.
pub fn remove(handle: abi::vmsf_plugin) {
    let Some(index) = handle::index(handle, Kind::Plugin) else { return };
    let mut instances = INSTANCES.write();
    if let Some(slot) = instances.get_mut(index) {
        // The instance itself may end here; it holds no lock of this room.
        slot.take_if(|(known, _)| *known == handle);
    }
}
