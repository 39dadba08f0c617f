package dev.refrain

/**
 * Everything that the client holds now, in memory and in its folder. After an objection: the consent record, erasures
 * that were asked for, and nothing else.
 */
public data class Audit(
    /** The files of this project in the folder, but for empty ones that only serve as locks. */
    val files: List<AuditedFile>,
    /** The device's random id. */
    val deviceId: String?,
    /** Whom the records are about. */
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
    /** Requests under way. */
    val requestsInFlight: Long,
    /** In how many seconds the client next acts by itself. */
    val nextActionIn: Double?,
    /** Erasures that were asked for. */
    val outbox: List<AuditedErasure>,
)

/** A file in the folder. */
public data class AuditedFile(
    /** Its path in the folder. */
    val name: String,
    /**
     * What it holds: `consent` or `data`. `unlisted` is a file or folder that could not be looked at: it may hold
     * anything.
     */
    val kind: String,
    /** Its length; 0 where that cannot be told. */
    val bytes: Long,
)

/** Something that the server was asked for with an objection. The proof that goes with it is not shown. */
public data class AuditedErasure(
    /** Its id. */
    val id: String,
    /**
     * `device`: to erase everything that carries the device's id. `profile`: to delete the profiles of the device and
     * its user, which erases no event.
     */
    val kind: String,
    /** The withdrawn device. */
    val deviceId: String,
    /** How far it has come: `requested`, `accepted`, `completed` or `refused`. */
    val state: String,
    /** What the server has said last, where that is a JSON object: its text, with the receipt at the end. */
    val answer: String?,
)
