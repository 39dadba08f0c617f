package dev.refrain

import java.io.File
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds

/** What a client may be told at its start. What is not set has the default that stands here. */
public class Settings {
    /** Where the collector is: `https://host` or `http://host:port`. */
    public var endpoint: String? = null

    /**
     * The folder for the person's choice and for what waits to be sent. Without one nothing survives the process,
     * nothing is collected until [Refrain.optIn] is called, and [Refrain.optOut] can ask for no erasure. An Android
     * app has one of its own unless it names another.
     */
    public var dataDir: File? = null

    /** What holds while the person has not decided. */
    public var defaultConsent: DefaultConsent = DefaultConsent.PENDING

    /** Whether Global Privacy Control, see [Refrain.signals], is a "no" while the person has not decided. */
    public var honorGpc: Boolean = true

    /** The same for Do Not Track. */
    public var honorDnt: Boolean = true

    /** How long records are gathered before they are sent: 5 seconds, 30 in an Android app. */
    public var flushInterval: Duration? = null

    /** Records in one request at most. */
    public var batchSize: Int? = null

    /** What may wait to be sent; above it the oldest records go, counted. */
    public var queueLimitBytes: Long? = null

    /** How long a record may wait to be sent. */
    public var queueLimitAge: Duration? = null

    /** How the project joins ids. */
    public var idMerge: IdMerge = IdMerge.SIMPLIFIED

    /** Names of properties that are never recorded, whoever sets them. Nested ones are not looked at. */
    public var denyList: List<String> = emptyList()

    /** What is done about personal data in properties, profiles and groups; not in names of events and user ids. */
    public var personalData: PersonalDataMode = PersonalDataMode.OFF

    /** Names of properties and kinds of groups that may hold such data on purpose, such as `$email`. */
    public var personalDataAllow: List<String> = emptyList()

    /**
     * What the environment says already, before anything is read or written. What it says later is for
     * [Refrain.signals].
     */
    public var signals: Signals = Signals()

    /** Sees the properties of everything that is about to be recorded, and says what is. */
    public var filter: Filter? = null

    /**
     * Hears where consent stands: once the folder has been read, and again whenever the decision or the verdict has changed,
     * here or in another process. As with [transport], that of the first client on a folder is used.
     */
    public var onConsent: ConsentListener? = null

    /**
     * Sends instead of the built-in HTTP client. One serves all clients of a project on a folder: that of the first,
     * and a later client's is not used.
     */
    public var transport: HttpTransport? = null

    /** [flushInterval] for Java. */
    public fun setFlushInterval(seconds: Double) {
        flushInterval = seconds.seconds
    }

    /** [queueLimitAge] for Java. */
    public fun setQueueLimitAge(seconds: Double) {
        queueLimitAge = seconds.seconds
    }
}

/** What holds while the person has not decided. */
public enum class DefaultConsent {
    /** Collect until the person objects. */
    GRANTED,

    /** Collect nothing until the person agrees. */
    DENIED,

    /** Keep calls in memory, bounded, until the person decides. */
    PENDING,
}

/** How the project at the collector joins ids. */
public enum class IdMerge {
    /** Records carry the device's and the user's id. */
    SIMPLIFIED,

    /** An event of its own joins an anonymous id to a user. */
    ORIGINAL,
}

/** What is done about e-mail addresses, card numbers, IBANs and JSON web tokens in what is recorded. */
public enum class PersonalDataMode {
    /** Nothing: they are not looked for. */
    OFF,

    /** They are counted, see [Stats.personalData]. */
    OBSERVE,

    /** They are counted, and `[email]`, `[card]`, `[iban]` or `[jwt]` is recorded in their place. */
    REDACT,

    /** They are counted, and the call is rejected. */
    REJECT,
}
