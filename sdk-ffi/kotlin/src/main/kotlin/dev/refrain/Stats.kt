package dev.refrain

/**
 * What became of every record since the client was started. At all times
 * `tracked + recovered + adopted == delivered + queued + held + dropped.values.sum() + givenUp`.
 */
public data class Stats(
    /** Records made here. */
    val tracked: Long,
    /** Records found in the client's own queue at the start. */
    val recovered: Long,
    /** Records found in queues whose owner is gone. */
    val adopted: Long,
    /** Records that the collector has accepted. */
    val delivered: Long,
    /** Records waiting to be delivered. */
    val queued: Long,
    /** Calls waiting for a decision. */
    val held: Long,
    /** Records that were dropped, by reason. */
    val dropped: Map<String, Long>,
    /** Records that were handed over to another owner, which delivers them. */
    val givenUp: Long,
    /** Bytes waiting to be delivered. */
    val queuedBytes: Long,
    /** Stored records that could not be read back. Not part of the balance. */
    val damaged: Long,
    /** Files deleted unread because consent was withdrawn. Not part of the balance. */
    val wiped: Long,
    /** Calls that were rejected, so that nothing was recorded. */
    val rejected: Long,
    /**
     * Personal data found in calls, whether recorded or rejected, by kind: `email`, `card`, `iban`, `jwt`. Not part of
     * the balance.
     */
    val personalData: Map<String, Long>,
)
