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
 * A client that records what happens, as far as the person's choice allows.
 *
 * Calls that record never throw and never wait; they return what became of the call. One client is enough for a
 * process, may be used from any thread, and shares its folder with other processes. It lives until it is closed,
 * whether or not the app keeps a reference to it.
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

    /** From now on the person is known as this user. */
    public fun identify(userId: String): Outcome = record { call(IDENTIFY, user(userId)) }

    /** Another person from now on: a new device id, no user, no registered properties. The choice stays. */
    public fun reset(): Outcome = record { call(RESET, "") }

    /** Adds properties to every later event. An event's own properties take precedence. */
    public fun register(properties: Map<String, Any?>): Outcome =
        record { call(REGISTER, "") { json(Subject.Registered, properties) } }

    /** Like [register], but only for properties that are not registered yet. */
    public fun registerOnce(properties: Map<String, Any?>): Outcome =
        record { call(REGISTER_ONCE, "") { json(Subject.Registered, properties) } }

    /** Like [register], but in memory only. */
    public fun registerForSession(properties: Map<String, Any?>): Outcome =
        record { call(REGISTER_FOR_SESSION, "") { json(Subject.Registered, properties) } }

    /** Forgets a property that was registered. */
    public fun unregister(name: String): Outcome = record { call(UNREGISTER, named(name)) }

    /**
     * Another known person uses this device from now on. It gets a new device id, so that the two people are never
     * joined, no super properties, and this user. The choice stays.
     */
    public fun switchUser(userId: String): Outcome = record { call(SWITCH_USER, user(userId)) }

    /** Gives the current person a second name. It only has an effect if [Settings.idMerge] is `ORIGINAL`. */
    public fun alias(alias: String): Outcome = record { call(ALIAS, checked(alias, "the alias", "invalid_user")) }

    /** Starts a timer: the next event of this name carries `$duration`, the number of seconds since this call. */
    public fun timeEvent(name: String): Outcome = record { call(TIME_EVENT, named(name)) }

    /** The profile of the person who is current at each of its calls. */
    public fun profile(): Profile = Profile { record { call(PROFILE, "") { json(Subject.Profile, it) } } }

    /** The profile of a group, such as `group("company", "acme")`. */
    public fun group(key: String, id: String): Profile {
        val of = mapOf("\$group_key" to key, "\$group_id" to id)
        return Profile { record { call(GROUP, "") { json(Subject.Profile, it, of) } } }
    }

    /** Associates later events with this group, and with no other of the same kind. */
    public fun setGroup(key: String, id: String): Outcome = member(SET_GROUP, key, id)

    /** Associates later events with this group too. */
    public fun addGroup(key: String, id: String): Outcome = member(ADD_GROUP, key, id)

    /** No longer associates later events with this group. */
    public fun removeGroup(key: String, id: String): Outcome = member(REMOVE_GROUP, key, id)

    /**
     * The person objects. When this returns, the choice is durable, what was collected but not sent has been deleted,
     * and no request with records starts any more, from this process or any other on the same folder. It runs to
     * completion even if the coroutine is cancelled.
     *
     * @param erase also ask the server to erase what this device has sent under its current id. Ids from before a
     * [reset], a [switchUser] or an earlier objection are forgotten. Where a signal or a default of "no" has already
     * purged the device, there is no id to name, and the server is not asked. This needs a [Settings.dataDir]: the
     * request stays in the consent record until it is answered, and without a folder the server is not asked.
     * @param deleteProfile also ask the server to delete the profiles of this device and its user. This erases no
     * events, and needs a folder too.
     * @throws ConsentException see its code; without a folder always `NOT_RECORDED`. Even so, nothing is collected or
     * sent by this process any more.
     */
    public suspend fun optOut(erase: Boolean = false, deleteProfile: Boolean = false): Unit =
        withContext(Dispatchers.IO + NonCancellable) { optOutBlocking(erase, deleteProfile) }

    /** [optOut] on the calling thread, for Java. Waits for the disk. */
    @JvmOverloads
    @Throws(ConsentException::class)
    public fun optOutBlocking(erase: Boolean = false, deleteProfile: Boolean = false): Unit =
        decide { native.optOut(erase, deleteProfile) }

    /**
     * The person agrees. Nothing from before an objection comes back, and the device gets a new id. It runs to
     * completion even if the coroutine is cancelled.
     *
     * @throws ConsentException the choice could not be written; unless a refusal is on record, it holds for this
     * process all the same. Without a folder, or over a record that cannot be read (which is left as it is), it also
     * holds for this process only, but nothing is thrown.
     */
    public suspend fun optIn(): Unit = withContext(Dispatchers.IO + NonCancellable) { optInBlocking() }

    /** [optIn] on the calling thread, for Java. Waits for the disk. */
    @Throws(ConsentException::class)
    public fun optInBlocking(): Unit = decide { native.optIn() }

    /** Where consent stands. Right after the start, it waits for the folder to be read. Reading changes nothing. */
    public fun consent(): Consent = native.consent().toConsent()

    /** Whether the person has objected. Waits like */
    public fun hasOptedOut(): Boolean = consent().decision == Decision.DENIED

    /**
     * Sets what the environment says, replacing what it said before. `true` means "do not track". The person's own
     * choice takes precedence.
     *
     * @param gpc Global Privacy Control; in a web backend, the header `Sec-GPC`.
     * @param dnt Do Not Track; in a web backend, the header `DNT`.
     * @param host the app's own setting, or its platform's.
     */
    @JvmOverloads
    public fun signals(gpc: Boolean = false, dnt: Boolean = false, host: Boolean = false): Unit =
        native.signals(gpc, dnt, host)

    /** Counts what became of every record since the start. */
    public fun stats(): Stats = native.stats().toStats()

    /**
     * Lists everything that the client holds now, in the folder and in memory. After an objection that is the consent
     * record, any erasures that were asked for, and nothing else. Reads the disk.
     */
    public fun audit(): Audit = native.audit().toAudit()

    /** The `distinct_id` that records carry; `null` while nothing may be collected. Waits like [consent]. */
    public val distinctId: String?
        get() = native.distinctId()

    /** The device's random id; `null` while nothing may be collected. Waits like [consent]. */
    public val deviceId: String?
        get() = native.deviceId()

    /**
     * Sends what is queued, and waits for it. Returns `true` if everything that was queued at the call left the queue
     * in time: each record was delivered, or refused by the server and dropped; [stats] tells which. It is also `true`
     * if nothing was queued, as before a decision: held calls are not queued. Returns `false` if the time was up or a
     * request failed; what is left is kept.
     */
    public suspend fun flush(timeout: Duration = 10.seconds): Boolean =
        withContext(Dispatchers.IO) { flushBlocking(timeout.toDouble(DurationUnit.SECONDS)) }

    /** [flush] on the calling thread, for Java. */
    @JvmOverloads
    public fun flushBlocking(seconds: Double = 10.0): Boolean = native.flush(seconds)

    /** Sends what is queued, waiting at most five seconds, and ends the client. Not for Android's main thread. */
    override fun close() {
        close(5.seconds)
    }

    /**
     * Sends what is queued, and what an objection has asked the server for, waiting at most [timeout], and ends the
     * client. What could not be sent is kept in the folder for next time. Returns `true` as [flush] does.
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
         * Starts a client in a program on a JVM. Returns at once: files are read on one of the client's threads.
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
         * Starts a client in an Android app. Returns at once: files are read on one of the client's threads. Queued
         * records are sent whenever the app goes to the background.
         *
         * The folder is `refrain` in [Context.getNoBackupFilesDir]: a backup restored to another device must bring
         * along neither this device's id nor a choice that was made elsewhere.
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

        /** The version of the library. */
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
