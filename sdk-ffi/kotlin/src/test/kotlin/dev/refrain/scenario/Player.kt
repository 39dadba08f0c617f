package dev.refrain.scenario

import dev.refrain.DefaultConsent
import dev.refrain.IdMerge
import dev.refrain.Outcome
import dev.refrain.Profile
import dev.refrain.Refrain
import dev.refrain.Settings
import dev.refrain.Signals
import java.io.File
import kotlin.time.Duration.Companion.seconds
import kotlinx.serialization.json.Json

/** What a client that is closed has to deliver what is queued. */
private val CLOSING = 20.seconds

/** What a flush may take, in seconds. Long enough for any machine; nothing waits for it to pass. */
private const val PATIENCE = 60.0

/** Plays the client of a scenario, by the package's public face. */
internal class Player {
    private var client: Refrain? = null

    /** Does one thing; what came of it. */
    fun obey(what: String, asked: Map<String, Any?>): Any? {
        if (what == "start") {
            client = start(asked.part("settings"), asked.part("signals"))
            return null
        }
        val client = checkNotNull(client) { "it was not started" }
        when (what) {
            "call" -> return call(client, asked["method"] as String, asked["with"] as List<*>)
            "flush" -> return client.flushBlocking(PATIENCE)
            "state" -> return state(client)
            "opt_in" -> client.optInBlocking()
            "opt_out" -> asked.part("how").let { client.optOutBlocking(it.flag("erase"), it.flag("delete_profile")) }
            "signals" -> signals(asked.part("signals")).let { client.signals(it.gpc, it.dnt, it.host) }
            "shutdown" -> client.close(CLOSING)
            else -> error("`$what` is not known")
        }
        return null
    }

    /** Ends what is left of it. */
    fun end() {
        val client = client ?: return
        // Leaves nothing to send, so that the end is not a matter of the network.
        runCatching { client.optOutBlocking() }
        client.close(CLOSING)
    }
}

private fun start(said: Map<String, Any?>, signals: Map<String, Any?>): Refrain {
    val settings = Settings()
    for ((name, value) in said - "token") settings.take(name, value)
    settings.signals = signals(signals)
    // Waits until the folder has been read.
    return Refrain.start(said["token"] as String, settings).also { it.consent() }
}

private fun Settings.take(name: String, value: Any?) {
    when (name) {
        "endpoint" -> endpoint = value as String
        "data_dir" -> dataDir = File(value as String)
        "default_consent" -> defaultConsent = DefaultConsent.valueOf((value as String).uppercase())
        "honor_gpc" -> honorGpc = value as Boolean
        "honor_dnt" -> honorDnt = value as Boolean
        "flush_interval" -> flushInterval = (value as Number).toDouble().seconds
        "batch_size" -> batchSize = Math.toIntExact(value as Long)
        "queue_limit_bytes" -> queueLimitBytes = value as Long
        "queue_limit_age" -> queueLimitAge = (value as Number).toDouble().seconds
        "id_merge" -> idMerge = IdMerge.valueOf((value as String).uppercase())
        "deny_list" -> denyList = (value as List<*>).map { it as String }
        else -> error("there is no setting `$name`")
    }
}

private fun signals(said: Map<String, Any?>) = Signals(said.flag("gpc"), said.flag("dnt"), said.flag("host"))

private fun call(client: Refrain, method: String, with: List<*>): Any {
    val (of, operator) = method.split('.', limit = 2).let { if (it.size == 2) it[0] to it[1] else null to method }
    val outcome =
        when (of) {
            null -> plain(client, method, with)
            "profile" -> profile(client.profile(), operator, with)
            "group" -> profile(client.group(with.text(0), with.text(1)), operator, with.drop(2))
            else -> noSuch(method, with)
        }
    if (outcome !is Outcome.Rejected) return outcome.toString().lowercase()
    check(outcome.hint.isNotEmpty()) { "$outcome has no hint" }
    return mapOf("rejected" to outcome.reason)
}

private fun plain(client: Refrain, method: String, with: List<*>): Outcome =
    when (method to with.size) {
        "track" to 1 -> client.track(with.text(0))
        "track" to 2 -> client.track(with.text(0), unchecked(with[1]))
        "identify" to 1 -> client.identify(with.text(0))
        "switch_user" to 1 -> client.switchUser(with.text(0))
        "alias" to 1 -> client.alias(with.text(0))
        "reset" to 0 -> client.reset()
        "register" to 1 -> client.register(unchecked(with[0]))
        "register_once" to 1 -> client.registerOnce(unchecked(with[0]))
        "register_for_session" to 1 -> client.registerForSession(unchecked(with[0]))
        "unregister" to 1 -> client.unregister(with.text(0))
        "time_event" to 1 -> client.timeEvent(with.text(0))
        "set_group" to 2 -> client.setGroup(with.text(0), with.text(1))
        "add_group" to 2 -> client.addGroup(with.text(0), with.text(1))
        "remove_group" to 2 -> client.removeGroup(with.text(0), with.text(1))
        else -> noSuch(method, with)
    }

private fun profile(profile: Profile, operator: String, with: List<*>): Outcome =
    when (operator to with.size) {
        "set" to 1 -> profile.set(unchecked(with[0]))
        "set_once" to 1 -> profile.setOnce(unchecked(with[0]))
        "add" to 1 -> profile.add(unchecked(with[0]))
        "append" to 1 -> profile.append(unchecked(with[0]))
        "union" to 1 -> profile.union(unchecked(with[0]))
        "remove" to 1 -> profile.remove(unchecked(with[0]))
        "unset" to with.size -> profile.unset(*with.map { it as String }.toTypedArray())
        "delete" to 0 -> profile.delete()
        else -> noSuch(operator, with)
    }

private fun noSuch(method: String, with: List<*>): Nothing = error("there is no $method(${with.size} arguments)")

/** As Java passes it: null for a map, and anything in it. */
@Suppress("UNCHECKED_CAST") private fun <T> unchecked(value: Any?): T = value as T

/** Everything that the client says of itself. */
private fun state(client: Refrain): Map<String, Any?> {
    val (consent, stats, audit) = Triple(client.consent(), client.stats(), client.audit())
    return mapOf(
        "consent" to
            mapOf(
                "decision" to consent.decision.name.lowercase(),
                "verdict" to consent.verdict.name.lowercase(),
                "reason" to consent.reason,
                "sentence" to consent.sentence,
            ),
        "has_opted_out" to client.hasOptedOut(),
        "ids" to
            mapOf("device_id" to client.deviceId, "distinct_id" to client.distinctId).filterValues { it != null },
        "stats" to
            mapOf(
                "tracked" to stats.tracked,
                "recovered" to stats.recovered,
                "adopted" to stats.adopted,
                "delivered" to stats.delivered,
                "queued" to stats.queued,
                "held" to stats.held,
                "dropped" to stats.dropped,
                "given_up" to stats.givenUp,
                "queued_bytes" to stats.queuedBytes,
                "damaged" to stats.damaged,
                "wiped" to stats.wiped,
                "rejected" to stats.rejected,
            ),
        "outbox" to
            audit.outbox.map {
                val answer = it.answer?.let { answer -> said(Json.parseToJsonElement(answer)) }
                mapOf("kind" to it.kind, "state" to it.state, "answer" to answer)
            },
        "audit" to
            mapOf(
                "ids" to listOf(audit.deviceId, audit.distinctId),
                "super_properties" to audit.superProperties,
                "counts" to listOf(audit.queuedRecords, audit.heldRecords, audit.timers),
                "files" to audit.files.filter { it.bytes > 0 }.map { it.kind },
            ),
    )
}

@Suppress("UNCHECKED_CAST") internal fun Any?.asObject(): Map<String, Any?> = this as Map<String, Any?>

internal fun Map<String, Any?>.part(name: String): Map<String, Any?> = getValue(name).asObject()

private fun Map<String, Any?>.flag(name: String): Boolean = (this[name] ?: false) as Boolean

private fun List<*>.text(at: Int): String = this[at] as String
