package dev.refrain

/**
 * Everything that the client holds now, in memory and in its folder. After an objection that is the consent record, any
 * erasures that were asked for, and nothing else.
 */
public data class Audit(
    /** The files of this project in the folder, except for empty ones that only serve as locks. */
    val files: List<AuditedFile>,
    /** The device's random id. */
    val deviceId: String?,
    /** The `distinct_id` that records carry. */
    val distinctId: String?,
    /** The names of the registered properties. */
    val superProperties: List<String>,
    /** Events that are being timed. */
    val timers: Long,
    /** Records waiting to be delivered. */
    val queuedRecords: Long,
    /** Their bytes. */
    val queuedBytes: Long,
    /** Calls waiting for a decision. */
    val heldRecords: Long,
    /** Requests in progress. */
    val requestsInFlight: Long,
    /** The number of seconds until the client next acts on its own. */
    val nextActionIn: Double?,
    /** Erasures that were asked for. */
    val outbox: List<AuditedErasure>,
)

/** A file in the folder. */
public data class AuditedFile(
    /** Its path in the folder. */
    val name: String,
    /**
     * What it holds: `consent` or `data`. `unlisted` is a file or folder that could not be inspected; it may hold
     * anything.
     */
    val kind: String,
    /** Its length; 0 if that is unknown. */
    val bytes: Long,
)

/** Something that the server was asked to do as part of an objection. The proof that accompanies it is not shown. */
public data class AuditedErasure(
    /** Its id. */
    val id: String,
    /**
     * `device` erases everything that carries the device's id. `profile` deletes the profiles of the device and its
     * user, and erases no events.
     */
    val kind: String,
    /** The withdrawn device. */
    val deviceId: String,
    /** How far it has come: `requested`, `accepted`, `completed` or `refused`. */
    val state: String,
    /** The server's last response, if it was a JSON object: its text, with the receipt at the end. */
    val answer: String?,
)
