package dev.refrain

import java.io.File
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds

/** The settings of a client. A setting that is left alone has the default given here. */
public class Settings {
    /** Where the collector is: `https://host` or `http://host:port`. */
    public var endpoint: String? = null

    /**
     * The folder that stores the person's choice and undelivered records. Without one nothing survives the process,
     * nothing is collected until [Refrain.optIn] is called, and [Refrain.optOut] cannot ask for erasure. An Android app
     * has a folder by default.
     */
    public var dataDir: File? = null

    /** What applies until the person decides. */
    public var defaultConsent: DefaultConsent = DefaultConsent.PENDING

    /** Whether Global Privacy Control (see [Refrain.signals]) counts as a "no" until the person decides. */
    public var honorGpc: Boolean = true

    /** Whether Do Not Track counts as a "no" until the person decides. */
    public var honorDnt: Boolean = true

    /** How long records are gathered before they are sent: 5 seconds, 30 in an Android app. */
    public var flushInterval: Duration? = null

    /** The maximum number of records in one request. */
    public var batchSize: Int? = null

    /** The maximum size of the queue in bytes. Beyond it the oldest records are dropped, and counted. */
    public var queueLimitBytes: Long? = null

    /** The maximum age of queued records. */
    public var queueLimitAge: Duration? = null

    /** How the project merges ids. */
    public var idMerge: IdMerge = IdMerge.SIMPLIFIED

    /**
     * What every event carries, such as the app's version. An event's own properties take precedence, and so do
     * registered ones. They come from the app at every start, are kept with no profile, and are not shown to [filter];
     * [denyList] and [personalData] apply. As they stand in every event, whoever it is about, nothing that tells people
     * apart belongs here.
     */
    public var automaticProperties: Map<String, Any?> = emptyMap()

    /** Names of properties that are never recorded, no matter who sets them. Nested properties are not inspected. */
    public var denyList: List<String> = emptyList()

    /**
     * What to do about personal data in properties, profiles and groups. Event names and user ids are not inspected.
     */
    public var personalData: PersonalDataMode = PersonalDataMode.OFF

    /** Names of properties and kinds of groups that may contain such data on purpose, such as `$email`. */
    public var personalDataAllow: List<String> = emptyList()

    /**
     * Signals that are known at the start, before anything is read or written. For later ones there is
     * [Refrain.signals].
     */
    public var signals: Signals = Signals()

    /** Sees all properties just before they are recorded, and decides what is recorded. */
    public var filter: Filter? = null

    /**
     * Called with the state of consent once the folder has been read, and again whenever the decision or the verdict
     * changes, here or in another process. All clients of a project on one folder share the listener of the first.
     */
    public var onConsent: ConsentListener? = null

    /**
     * Replaces the built-in HTTP client. All clients of a project on one folder share the transport of the first; a
     * later client's is not used.
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

/** What applies until the person decides. */
public enum class DefaultConsent {
    /** Collect until the person objects. */
    GRANTED,

    /** Collect nothing until the person agrees. */
    DENIED,

    /** Keep a bounded number of calls in memory until the person decides. */
    PENDING,
}

/** How the project at the collector merges ids. */
public enum class IdMerge {
    /** Records carry the device's and the user's id. */
    SIMPLIFIED,

    /** A separate event joins an anonymous id to a user. */
    ORIGINAL,
}

/** What to do about e-mail addresses, card numbers, IBANs and JSON web tokens in what is recorded. */
public enum class PersonalDataMode {
    /** Nothing; they are not looked for. */
    OFF,

    /** They are counted, see [Stats.personalData]. */
    OBSERVE,

    /** They are counted, and `[email]`, `[card]`, `[iban]` or `[jwt]` is recorded in their place. */
    REDACT,

    /** They are counted, and the call is rejected. */
    REJECT,
}
