//! Erasure on behalf of a device (C12): what carries its id goes, and nothing else. It never follows the identity
//! cluster: otherwise anybody could identify as a victim, withdraw, and wipe the victim.

use serde_json::{Value, json};

use super::{Core, random_uuid};
use crate::domain::device::fingerprint;
use crate::domain::identity::{DEVICE_PREFIX, strip};
use crate::domain::time;
use crate::store::{Barrier, Counts, Erasure, NewTask, StoreError, StoredTask, TaskKind, TaskState};

impl Core {
    /// Takes the request of a device that has proven itself. Asked again, it is the same request.
    /// `None`: there is no such project, and no way in which the device could have sent anything.
    pub fn erase_device(&mut self, token: &str, device_id: &str) -> Result<Option<StoredTask>, StoreError> {
        let Some(home) = self.answerable_home(token)? else { return Ok(None) };
        let device = strip(device_id).to_owned();
        if let Some(known) = self.store.device_task(home.project, &device)? {
            return Ok(Some(known));
        }
        let now = self.shared.now();
        let task = NewTask {
            kind: TaskKind::Device,
            id: random_uuid()?,
            ids: vec![device.clone()],
            requested: now,
            due: now,
            about: json!({"device": fingerprint(&device)}),
        };
        self.store.put_task(home.project, &task)?;
        let row = self.store.task(&task.id)?.map(|task| task.row).unwrap_or_default();
        self.note(
            now,
            Some(home.project),
            "device_erasure.created",
            "proof by the device's secret",
            Some(&task.id),
            Counts::default(),
        )?;
        let spaces = self.store.spaces(home.project)?;
        let names = vec![device.clone(), format!("{DEVICE_PREFIX}{device}")];
        let mut keys = Vec::new();
        for space in &spaces {
            keys.append(&mut self.store.keys_of_device(*space, &device)?);
            self.scrub_groups(*space, &names)?;
        }
        let retrievals = self.store.retrievals_about(home.project, &names, &keys)?;
        self.shared.forget_rejected(&names);
        let barrier = Some(Barrier { before: None, sent_before: None, until: None });
        let ids = names.clone();
        self.store.erase(&Erasure { project: home.project, task: row, spaces, keys, ids, barrier })?;
        // Others' archives lose what this device had sent under their names, and nothing else.
        self.take_out_of_retrievals(&retrievals, &names)?;
        self.era += 1;
        self.store.task(&task.id)
    }

    /// The request of a device, by its id, with the receipt where it is completed.
    pub fn device_erasure(&mut self, id: &str) -> Result<Option<(StoredTask, Option<Value>)>, StoreError> {
        let task = self.store.task(id)?.filter(|task| task.kind == TaskKind::Device);
        Ok(task.map(|task| {
            let receipt = self.receipt(&task);
            (task, receipt)
        }))
    }

    /// What was done, signed. The signature is over the UTF-8 bytes of `signed`, which says the same as the fields.
    fn receipt(&self, task: &StoredTask) -> Option<Value> {
        let finished = task.finished.filter(|_| task.state == TaskState::Done)?;
        let mut receipt = json!({
            "erasure": task.id,
            "device_id_sha256": task.about["device"],
            "counts": {"events": task.events, "profiles": task.profiles, "replays": task.replays},
            "requested_at": time::format_iso(task.requested),
            "time": time::format_iso(finished),
        });
        let signed = receipt.to_string();
        receipt["algorithm"] = "Ed25519".into();
        receipt["public_key"] = base64(&self.store.public_key()).into();
        receipt["signature"] = base64(&self.store.sign(signed.as_bytes())).into();
        receipt["signed"] = signed.into();
        Some(receipt)
    }
}

/// Bytes as a text.
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
