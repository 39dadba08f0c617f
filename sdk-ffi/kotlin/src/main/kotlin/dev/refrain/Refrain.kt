package dev.refrain

import android.content.Context
import dev.refrain.ffi.Client
import dev.refrain.ffi.ConfigException as FfiConfigException
import dev.refrain.ffi.ConsentException as FfiConsentException
import dev.refrain.ffi.outcome
import dev.refrain.ffi.version
import java.io.File
import kotlin.concurrent.thread
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlin.time.DurationUnit
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.withContext

/**
 * Records what happens, by the person's choice.
 *
 * The calls that record never throw and never wait: they say what became of the call. One client is enough for a
 * process, may be used from any thread, and shares its folder with other processes. It lives until it is closed,
 * whether the app keeps it or not.
 */
public class Refrain private constructor(token: String, settings: Settings) : AutoCloseable {
    private val native: Client = client(token, settings)
    private val door = native.door().toLong()
    private val filter = settings.filter
    private val warnings = Warnings()
    private var background: AutoCloseable? = null

    /** Records an event. */
    @JvmOverloads
    public fun track(name: String, properties: Map<String, Any?> = emptyMap()): Outcome =
        // Java may pass none.
        record { call(TRACK, named(name)) { json(Subject.Event(name), (properties as Map<String, Any?>?).orEmpty()) } }

    /** Joins what is recorded to a person that the app knows. */
    public fun identify(userId: String): Outcome = record { call(IDENTIFY, user(userId)) }

    /** Forgets the person: a new device id, no user, no properties. The choice stays. */
    public fun reset(): Outcome = record { call(RESET, "") }

    /** Adds properties to every later event; they yield to the event's own. */
    public fun register(properties: Map<String, Any?>): Outcome =
        record { call(REGISTER, "") { json(Subject.Registered, properties) } }

    /** As [register], but only those that are not registered yet. */
    public fun registerOnce(properties: Map<String, Any?>): Outcome =
        record { call(REGISTER_ONCE, "") { json(Subject.Registered, properties) } }

    /** As [register], in memory only. */
    public fun registerForSession(properties: Map<String, Any?>): Outcome =
        record { call(REGISTER_FOR_SESSION, "") { json(Subject.Registered, properties) } }

    /** Forgets a property that was registered. */
    public fun unregister(name: String): Outcome = record { call(UNREGISTER, named(name)) }

    /**
     * Another known person uses this device from now on: a new device id, so that the two are never joined, no super
     * properties, and this user. The choice stays.
     */
    public fun switchUser(userId: String): Outcome = record { call(SWITCH_USER, user(userId)) }

    /** A second name for whoever is known now. Means something where [Settings.idMerge] is `ORIGINAL`. */
    public fun alias(alias: String): Outcome = record { call(ALIAS, checked(alias, "the alias", "invalid_user")) }

    /** The next event of this name carries `$duration`: how many seconds it came after this call. */
    public fun timeEvent(name: String): Outcome = record { call(TIME_EVENT, named(name)) }

    /** The profile of whoever is known at each of its calls. */
    public fun profile(): Profile = Profile { record { call(PROFILE, "") { json(Subject.Profile, it) } } }

    /** The profile of a group, such as `group("company", "acme")`. */
    public fun group(key: String, id: String): Profile {
        val of = mapOf("\$group_key" to key, "\$group_id" to id)
        return Profile { record { call(GROUP, "") { json(Subject.Profile, it, of) } } }
    }

    /** Later events are about this member of a group, and no other one of the same kind. */
    public fun setGroup(key: String, id: String): Outcome = member(SET_GROUP, key, id)

    /** Later events are about this member of a group, too. */
    public fun addGroup(key: String, id: String): Outcome = member(ADD_GROUP, key, id)

    /** Later events are no longer about this member of a group. */
    public fun removeGroup(key: String, id: String): Outcome = member(REMOVE_GROUP, key, id)

    /**
     * The person objects. When this returns, the choice is durable, what was collected and not sent is deleted, and no
     * request starts any more, from this process or from another one on the same folder. It is carried out even where
     * the coroutine is cancelled.
     *
     * @param erase also ask the server to erase what this device has sent under the id that it has now; those from
     * before a [reset], a [switchUser] or an earlier objection are forgotten. Where a signal or a default of "no" has
     * purged the device already, there is none to name, and the server is asked for nothing. That takes a
     * [Settings.dataDir]: the request stands in the record until it is answered, and without one the server is asked for
     * nothing.
     * @param deleteProfile also ask the server to delete the profiles of this device and its user. That erases no
     * event, and takes a folder too.
     * @throws ConsentException see its code; without a folder always `NOT_RECORDED`. Nothing is collected or sent by
     * this process all the same.
     */
    public suspend fun optOut(erase: Boolean = false, deleteProfile: Boolean = false): Unit =
        withContext(Dispatchers.IO + NonCancellable) { optOutBlocking(erase, deleteProfile) }

    /** [optOut] on the calling thread, for Java. Waits for the disk. */
    @JvmOverloads
    @Throws(ConsentException::class)
    public fun optOutBlocking(erase: Boolean = false, deleteProfile: Boolean = false): Unit =
        decide { native.optOut(erase, deleteProfile) }

    /**
     * The person agrees. Nothing from before an objection comes back; the device gets a new id. It is carried out even
     * where the coroutine is cancelled.
     *
     * @throws ConsentException the choice could not be written; unless a refusal is on record, it holds for this process
     * all the same. So it does, and nothing is thrown, without a folder and over a record that cannot be read, which
     * stays as it is.
     */
    public suspend fun optIn(): Unit = withContext(Dispatchers.IO + NonCancellable) { optInBlocking() }

    /** [optIn] on the calling thread, for Java. Waits for the disk. */
    @Throws(ConsentException::class)
    public fun optInBlocking(): Unit = decide { native.optIn() }

    /** Where consent stands. Waits for the folder to be read, right after the start. Reading changes nothing. */
    public fun consent(): Consent = native.consent().toConsent()

    /** Whether the person has objected. Waits as [consent] does. */
    public fun hasOptedOut(): Boolean = consent().decision == Decision.DENIED

    /**
     * What the environment says now, replacing what it said before. `true` means "do not track"; a choice of the
     * person's outranks it.
     *
     * @param gpc Global Privacy Control; a web backend passes on `Sec-GPC`.
     * @param dnt Do Not Track; a web backend passes on `DNT`.
     * @param host the app's own setting, or its platform's.
     */
    @JvmOverloads
    public fun signals(gpc: Boolean = false, dnt: Boolean = false, host: Boolean = false): Unit =
        native.signals(gpc, dnt, host)

    /** What became of every record since the start. */
    public fun stats(): Stats = native.stats().toStats()

    /**
     * Everything that the client holds now, in the folder and in memory. After an objection: the consent record,
     * erasures that were asked for, and nothing else. Looks at the disk.
     */
    public fun audit(): Audit = native.audit().toAudit()

    /** Whom the records are about; `null` while nothing may be collected. Waits as [consent] does. */
    public val distinctId: String?
        get() = native.distinctId()

    /** The device's random id; `null` while nothing may be collected. Waits as [consent] does. */
    public val deviceId: String?
        get() = native.deviceId()

    /**
     * Sends what is queued, and waits for it. `true` if in time nothing was left of what was queued at the call: every
     * record was delivered, or refused by the server and dropped; [stats] tells which. So it is also `true` where
     * nothing was queued, as before a decision: what is held is not queued. `false` if the time was up or a request
     * failed; what is left is kept.
     */
    public suspend fun flush(timeout: Duration = 10.seconds): Boolean =
        withContext(Dispatchers.IO) { flushBlocking(timeout.toDouble(DurationUnit.SECONDS)) }

    /** [flush] on the calling thread, for Java. */
    @JvmOverloads
    public fun flushBlocking(seconds: Double = 10.0): Boolean = native.flush(seconds)

    /** Sends what is queued, waiting five seconds at most, and ends the client. Not for Android's main thread. */
    override fun close() {
        close(5.seconds)
    }

    /**
     * Sends what is queued, and what an objection has asked the server for, waiting so long at most, and ends the client.
     * What could not be sent is kept in the folder for the next time. `true` as for [flush].
     */
    public fun close(timeout: Duration): Boolean {
        background?.close()
        // Only then: a JVM that ends waits for it.
        return native.shutdown(timeout.toDouble(DurationUnit.SECONDS)).also { AtExit.remove(this) }
    }

    private fun member(kind: Byte, key: String, id: String): Outcome =
        record {
            val name = checked(key, "the group's key", "invalid_group")
            val text = checked(id, "the group's id", "invalid_group")
            call(kind, name) { append(text) }
        }

    /** Of properties what the filter keeps, and whose they are, which is not for it to see or say. */
    private fun StringBuilder.json(subject: Subject, properties: Map<String, Any?>?, of: Map<String, Any?> = emptyMap()) {
        val kept = filter.kept(subject, properties, warnings)
        appendJson(if (of.isEmpty()) kept else kept.orEmpty() + of)
    }

    /** What crosses is one text: the name, and behind it properties or a group's id. */
    private inline fun call(kind: Byte, name: String, text: StringBuilder.() -> Unit = {}): Byte {
        val both = StringBuilder(TEXT).append(name)
        both.text()
        val bytes = both.toString().toByteArray()
        return Door.call(door, kind, utf8Length(name), bytes.size, bytes)
    }

    private inline fun record(call: () -> Byte): Outcome =
        try {
            outcomeOf(call().toInt() and 0xff)
        } catch (error: Unusable) {
            native.countRejected()
            Outcome.Rejected(error.reason, error.hint)
        } catch (error: Throwable) { // never into the app, be it that the memory is full
            runCatching { native.countRejected() }
            Outcome.Rejected("internal", "the client failed: ${kind(error)}")
        }

    private inline fun decide(call: () -> Unit) {
        try {
            call()
        } catch (error: FfiConsentException) {
            throw error.toConsentException()
        }
    }

    public companion object {
        /**
         * Starts a client in a program on a JVM. Returns at once: files are read on a thread of the client's.
         *
         * @throws ConfigException a setting cannot work.
         * @throws IllegalStateException the native library cannot be loaded, or is of another version.
         */
        @JvmStatic
        @JvmOverloads
        public fun start(token: String, configure: Settings.() -> Unit = {}): Refrain =
            start(token, Settings().apply(configure))

        /** The same, for Java. */
        @JvmStatic
        public fun start(token: String, settings: Settings): Refrain =
            Refrain(token, given("settings", settings)).also { AtExit.add(it) }

        /**
         * Starts a client in an Android app. Returns at once: files are read on a thread of the client's. What is
         * queued is sent whenever the app goes to the background.
         *
         * The folder is `refrain` in [Context.getNoBackupFilesDir]: a backup that is restored to another device must
         * bring neither this one's id there nor a choice that was made elsewhere.
         *
         * @throws ConfigException a setting cannot work.
         * @throws IllegalStateException the native library cannot be loaded, or is of another version.
         */
        public fun start(context: Context, token: String, configure: Settings.() -> Unit = {}): Refrain {
            val settings = Settings()
            settings.dataDir = File(context.noBackupFilesDir, "refrain")
            settings.flushInterval = 30.seconds
            val client = start(token, settings.apply(configure))
            client.background =
                Background.watch(context) { inBackground ->
                    client.native.inBackground(inBackground)
                    if (inBackground) thread(name = "refrain-background") { client.flushBlocking() }
                }
            return client
        }

        /** The library's version. */
        @JvmStatic
        public val version: String
            get() {
                Library.check()
                return version()
            }

        private fun client(token: String, settings: Settings): Client =
            try {
                Library.check()
                Client(settings.toConfig(token), Host(settings.transport ?: UrlConnectionTransport(), settings.onConsent))
            } catch (error: FfiConfigException.Unusable) {
                throw ConfigException(inKotlinsWords(error.reason))
            }
    }
}

// The numbers of `refrain_call`.
private const val TRACK: Byte = 0
private const val IDENTIFY: Byte = 1
private const val RESET: Byte = 2
private const val REGISTER: Byte = 3
private const val REGISTER_ONCE: Byte = 4
private const val REGISTER_FOR_SESSION: Byte = 5
private const val UNREGISTER: Byte = 6
private const val SWITCH_USER: Byte = 7
private const val ALIAS: Byte = 8
private const val TIME_EVENT: Byte = 9
private const val PROFILE: Byte = 10
private const val GROUP: Byte = 11
private const val SET_GROUP: Byte = 12
private const val ADD_GROUP: Byte = 13
private const val REMOVE_GROUP: Byte = 14

/** What a text of a call is made room for; most take less. */
private const val TEXT = 256

/** What the numbers mean that calls return, as far as they have been asked for. */
private val OUTCOMES = arrayOfNulls<Outcome>(256)

private fun outcomeOf(code: Int): Outcome =
    OUTCOMES[code] ?: outcome(code.toUByte()).toOutcome().also { OUTCOMES[code] = it }

private fun user(id: String?) = checked(id, "the user id", "invalid_user")

private fun named(name: String?) = checked(name, "the name", "invalid_name")

/** Refuses what is not a text that Unicode can carry; Java may pass none. */
private fun checked(value: String?, what: String, reason: String): String {
    if (value == null) throw Unusable(reason, "$what must be a String, not null")
    if (value.length > MAX_BYTES) throw tooLarge()
    if (utf8Length(value) < 0) throw Unusable("lone_surrogate", "$what holds half of a surrogate pair")
    return value
}
