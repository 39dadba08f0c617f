package dev.refrain

/** Where consent stands. */
public data class Consent(
    /** What the person chose. */
    val decision: Decision,
    /** What may be done now. */
    val verdict: Verdict,
    /** Why, a stable word: `person`, `gpc`, `dnt`, `host`, `default` or `store_unavailable`. */
    val reason: String,
    /** One sentence that a person can read. */
    val sentence: String,
)

/** Hears where consent stands, see [Settings.onConsent]. */
public fun interface ConsentListener {
    /** Called on a thread of the client's, for one change after the other; may call the client. What it throws is named in the log, once. */
    public fun onConsent(consent: Consent)
}

/** What the person chose. */
public enum class Decision {
    GRANTED,
    DENIED,

    /** Nothing yet. */
    UNSET,
}

/** What may be done now. */
public enum class Verdict {
    /** Record and send. */
    ALLOW,

    /** Keep calls in memory until the person decides. */
    HOLD,

    /** Nothing. */
    DENY,
}
