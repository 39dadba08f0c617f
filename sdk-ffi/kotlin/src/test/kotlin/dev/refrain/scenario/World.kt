package dev.refrain.scenario

import dev.refrain.MockServer
import java.io.File
import java.net.HttpURLConnection.HTTP_OK
import kotlin.experimental.xor
import kotlinx.serialization.json.Json

private const val TOKEN = "scenario"

/** How long `soon` may take; only a broken client ever uses it up. */
private const val SOON_MS = 20_000L

private val SETTINGS =
    setOf("default_consent", "honor_gpc", "honor_dnt", "flush_interval", "batch_size", "queue_limit_bytes") +
        setOf("queue_limit_age", "id_merge", "deny_list")
private val SIGNALS = setOf("gpc", "dnt", "host")

/**
 * What a scenario is played in.
 *
 * @param apart the clients that need a process of their own.
 */
internal class World(private val folder: File, private val apart: Set<Any?>) : AutoCloseable {
    private val server = MockServer()
    private val clients = LinkedHashMap<String, Client>()
    private val remembered = Remembered()

    /** One that has run; without a home it is stopped. */
    private class Client(val device: String, val settings: MutableMap<String, Any?>) {
        var home: Home? = null
        var signals: Map<String, Any?> = emptyMap()
    }

    override fun close() {
        server.close()
        for (client in clients.values) client.home?.destroy()
    }

    /** Plays a step. Its words are looked at before anything is done. */
    fun play(said: Map<String, Any?>) {
        val verbs = said.keys.filter { it in VERBS && !(it == "signals" && "start" in said) }
        check(verbs.size == 1) { "a step has one verb, not $verbs" }
        val verb = VERBS.getValue(verbs[0])
        val unknown = said.keys - verbs[0] - verb.modifiers
        check(unknown.isEmpty()) { "${verbs[0]} takes no $unknown" }
        verb.play(this, Step(said[verbs[0]], said))
        checkBooks()
    }

    /** What a step says. */
    private class Step(val what: Any?, private val modifiers: Map<String, Any?>) {
        val on: String
            get() = modifiers.getOrDefault("on", "first") as String

        val device: String
            get() = modifiers.getOrDefault("device", "device") as String

        val soon: Boolean
            get() = modifiers.getOrDefault("soon", false) as Boolean

        /** What is under a name, or what stands for it. */
        fun of(name: String, otherwise: Any?): Any? = modifiers.getOrDefault(name, otherwise)

        operator fun contains(name: String) = name in modifiers

        /** What it says, an object with no other members than these. */
        fun members(vararg names: String): Map<String, Any?> = members(what, names.toSet())

        fun nothing() {
            members()
        }
    }

    private class Verb(vararg modifiers: String, val play: World.(Step) -> Unit) {
        val modifiers = modifiers.toSet()
    }

    private companion object {
        val VERBS =
            mapOf(
                "start" to Verb("on", "device", "signals") { start(it) },
                "stop" to Verb("on") { stop(it) },
                "shutdown" to Verb("on") { shutdown(it) },
                "call" to Verb("with", "gives", "times", "on") { call(it) },
                "opt_in" to Verb("on") { optIn(it) },
                "opt_out" to Verb("on") { optOut(it) },
                "signals" to Verb("on") { signals(it) },
                "flush" to Verb("on", "soon") { flush(it) },
                "server" to Verb("gives", "soon") { askServer(it) },
                "damage" to Verb("device") { damage(it) },
                "remove" to Verb("device") { remove(it) },
                "remember" to Verb("on") { remember(it) },
                "consent" to Verb("on", "soon") { checkConsent(it) },
                "ids" to Verb("on", "soon") { checkState("ids", it) },
                "stats" to Verb("on", "soon") { checkState("stats", it) },
                "outbox" to Verb("on", "soon") { checkState("outbox", it) },
                "kept" to Verb("device", "soon") { checkKept(it) },
                "kept_with" to Verb("device", "soon") { checkKeptWith(it) },
                "kept_without" to Verb("device") { checkKeptWithout(it) },
                "arrived" to Verb("any_order") { checkArrived(it) },
                "profiles" to Verb { checkSet("profiles", it) },
                "groups" to Verb { checkSet("groups", it) },
            )
    }

    private fun start(step: Step) {
        val settings = members(step.what, SETTINGS)
        val signals = if ("signals" in step) members(step.of("signals", null), SIGNALS) else null
        val name = step.on
        val client = clients[name] ?: Client(step.device, mutableMapOf("flush_interval" to 3600L))
        check(client.home == null) { "$name is running already" }
        check("device" !in step || step.device == client.device) { "$name was on another device" }
        clients[name] = client
        client.settings += settings
        client.signals = signals ?: client.signals
        val own = mapOf("token" to TOKEN, "endpoint" to server.url, "data_dir" to File(folder, client.device).path)
        val home = if (name in apart) OwnJvm() else ThisJvm()
        client.home = home
        home.ask("start", mapOf("settings" to client.settings + own, "signals" to client.signals))
    }

    private fun stop(step: Step) {
        val home = running(step.on)
        when (step.what) {
            "close" -> {
                clients.getValue(step.on).home = null
                home.ask("shutdown")
                home.leave()
            }
            "kill" -> {
                check(home is OwnJvm) { "${step.on} has no process of its own" }
                clients.getValue(step.on).home = null
                home.destroy()
            }
            else -> error("nothing ends by ${step.what}")
        }
    }

    private fun shutdown(step: Step) {
        step.nothing()
        running(step.on).ask("shutdown")
    }

    private fun call(step: Step) {
        val gives = step.of("gives", "accepted")
        val rejected = (gives as? Map<*, *>)?.run { size == 1 && get("rejected") is String } ?: false
        check(rejected || gives == "accepted" || gives == "held") { "a call cannot give $gives" }
        val with = step.of("with", emptyList<Any?>()) as List<*>
        val home = running(step.on)
        for (index in 0 until step.of("times", 1L) as Long) {
            val values = value(with, index.toInt(), remembered)
            val given = home.ask("call", mapOf("method" to step.what, "with" to values))
            if (given != gives) mismatch("it gave $given")
        }
    }

    private fun optIn(step: Step) {
        step.nothing()
        running(step.on).ask("opt_in")
    }

    private fun optOut(step: Step) {
        val how = step.members("erase", "delete_profile")
        running(step.on).ask("opt_out", mapOf("how" to how))
    }

    private fun signals(step: Step) {
        val signals = members(step.what, SIGNALS)
        running(step.on).ask("signals", mapOf("signals" to signals))
        clients.getValue(step.on).signals = signals
    }

    private fun flush(step: Step) {
        val wanted = step.what as Boolean
        attempt(step.soon) {
            val answer = running(step.on).ask("flush")
            if (answer != wanted) mismatch("it answered $answer")
        }
    }

    private fun askServer(step: Step) {
        val request = step.what as List<*>
        check(request.size in 2..3) { "a request is a method, a path and perhaps a body" }
        val body = if (request.size == 3) json(value(request[2], 0, remembered)).toString() else null
        attempt(step.soon) {
            val answer = ask(request[0] as String, request[1] as String, body)
            if ("gives" in step) compare(step.of("gives", null), answer, 0, remembered, "the answer")
        }
    }

    private fun damage(step: Step) {
        for (slot in slots(step)) {
            val content = slot.readBytes()
            content[content.lastIndex] = content.last() xor 0x10
            slot.writeBytes(content)
        }
    }

    private fun remove(step: Step) {
        for (slot in slots(step)) check(slot.delete()) { "$slot cannot be deleted" }
    }

    /** The copies of a device's consent record. */
    private fun slots(step: Step): List<File> {
        check(step.what == "consent") { "`${step.what}` cannot be hurt" }
        val running = clients.filterValues { it.device == step.device && it.home != null }.keys
        check(running.isEmpty()) { "$running runs" }
        val slots = files(step.device).filter { ".consent." in it.name }
        check(slots.size == 2) { "$slots" }
        return slots
    }

    private fun remember(step: Step) {
        val ids = state(step.on).part("ids")
        for ((name, key) in step.what.asObject()) {
            check(key == "device_id" || key == "distinct_id") { "$key is no id" }
            remembered[name] = ids[key] as String? ?: mismatch("it has no $key")
        }
    }

    private fun checkConsent(step: Step) {
        attempt(step.soon) {
            val state = state(step.on)
            val consent = state.part("consent")
            compare(step.what, consent, 0, remembered, "consent")
            if (state["has_opted_out"] != (consent["decision"] == "denied")) {
                mismatch("has_opted_out() contradicts $consent")
            }
            if (!(consent["sentence"] as String).endsWith(".")) mismatch("no sentence: $consent")
        }
    }

    private fun checkState(part: String, step: Step) {
        attempt(step.soon) { compare(step.what, state(step.on)[part], 0, remembered, part) }
    }

    private fun checkKept(step: Step) {
        val word = step.what
        check(word in setOf("untouched", "nothing", "consent", "data")) { "`$word` is nothing that is kept" }
        attempt(step.soon) {
            checkFolder(word, step.device)
            val running = clients.filterValues { it.device == step.device && it.home != null }.keys
            running.forEach { checkAudit(word, state(it).part("audit")) }
        }
    }

    private fun checkFolder(word: Any?, device: String) {
        val full = files(device).filter { it.length() > 0 }.map { it.name }
        val (consent, others) = full.partition { ".consent." in it }
        val data = others - "owner"
        val holds =
            when (word) {
                "untouched" -> !File(folder, device).exists()
                "nothing" -> full.isEmpty()
                "consent" -> consent.isNotEmpty() && data.isEmpty()
                else -> data.isNotEmpty()
            }
        if (!holds) mismatch("the folder holds $full")
    }

    private fun checkAudit(word: Any?, audit: Map<String, Any?>) {
        val anonymous = audit["ids"] == listOf(null, null)
        val quiet = audit["super_properties"] == emptyList<String>() && audit["counts"] == listOf(0L, 0L, 0L)
        val kinds = (audit["files"] as List<*>).toSet()
        val holds =
            when (word) {
                "untouched",
                "nothing" -> anonymous && kinds.isEmpty()
                "consent" -> anonymous && quiet && kinds == setOf("consent")
                else -> (kinds - "consent").isNotEmpty()
            }
        if (!holds) mismatch("audit() lists $audit")
    }

    private fun checkKeptWith(step: Step) {
        val texts = texts(step)
        attempt(step.soon) {
            val missing = texts.filter { holding(it, step.device).isEmpty() }
            if (missing.isNotEmpty()) mismatch("$missing is not there")
        }
    }

    private fun checkKeptWithout(step: Step) {
        val found = texts(step).associateWith { holding(it, step.device) }.filterValues { it.isNotEmpty() }
        if (found.isNotEmpty()) mismatch("there are $found")
    }

    private fun texts(step: Step): List<String> {
        val texts = (value(step.what, 0, remembered) as List<*>).map { it as String }
        check(texts.isNotEmpty() && texts.none { it.isEmpty() }) { "$texts cannot be looked for" }
        return texts
    }

    /** The files of a device in whose names or bytes a text stands. */
    private fun holding(text: String, device: String): List<String> {
        val bytes = text.toByteArray().toString(Charsets.ISO_8859_1) // a character a byte
        val above = File(folder, device)
        return files(device)
            .filter { text in it.relativeTo(above).path || bytes in it.readBytes().toString(Charsets.ISO_8859_1) }
            .map { it.name }
    }

    private fun checkArrived(step: Step) {
        val anyOrder = step.of("any_order", false) as Boolean
        val wanted = (step.what as List<*>).flatMap { wanted(it) }.toMutableList()
        // If they do not come, what did is shown.
        server.send("POST", "/mock/wait", """{"min":${wanted.size},"timeout_ms":$SOON_MS,"limit":0}""")
        val events = list("events?limit=100000")
        val names = events.map { it["event"] }
        if (events.size != wanted.size) mismatch("${events.size} events have arrived: $names")
        checkForm(events)
        for (event in events) {
            val place = if (anyOrder) wanted.indexOfFirst { matches(it.first, event, it.second, remembered) } else 0
            if (place < 0) mismatch("nobody waits for $event; there are $names")
            val (pattern, index) = wanted.removeAt(place)
            compare(pattern, event, index, remembered, "${event["event"]}")
        }
    }

    /** The patterns of a record of `arrived`, each with its place in `times`. */
    private fun wanted(record: Any?): List<Pair<Any?, Int>> {
        if (record is String) return listOf(mapOf("event" to record) to 0)
        val members = members(record, setOf("event", "properties", "times"))
        check("event" in members) { "a record is of an event: $record" }
        val times = members.getOrDefault("times", 1L) as Long
        return List(Math.toIntExact(times)) { (members - "times") to it }
    }

    private fun checkSet(which: String, step: Step) {
        val open = (step.what as List<*>).toMutableList()
        val found = list(which)
        if (found.size != open.size) mismatch("there are $found")
        for (one in found) {
            val place = open.indexOfFirst { matches(it, one, 0, remembered) }
            if (place < 0) mismatch("nobody waits for $one")
            open.removeAt(place)
        }
    }

    /** C15, of every client that runs. */
    private fun checkBooks() {
        for ((name, client) in clients) {
            val home = client.home ?: continue
            val stats = home.ask("state").asObject().part("stats")
            val count = { key: String -> stats.getValue(key) as Long }
            val given = count("tracked") + count("recovered") + count("adopted")
            val dropped = stats.part("dropped").values.sumOf { it as Long }
            val taken = count("delivered") + count("queued") + count("held") + count("given_up") + dropped
            if (given != taken) mismatch("C15: the books of $name: $stats")
        }
    }

    private fun running(name: String): Home = checkNotNull(clients[name]?.home) { "$name is not running" }

    /** What a client says of itself. */
    private fun state(name: String): Map<String, Any?> = running(name).ask("state").asObject()

    private fun files(device: String): List<File> = File(folder, device).walk().filter { it.isFile }.sorted().toList()

    private fun list(path: String): List<Map<String, Any?>> {
        val answer = ask("GET", "/mock/$path").asObject()
        return (answer.getValue(path.substringBefore('?')) as List<*>).map { it.asObject() }
    }

    /** What the server answers. */
    private fun ask(method: String, path: String, body: String? = null): Any? {
        val answer = server.send(method, path, body)
        if (answer.statusCode() != HTTP_OK) mismatch("${answer.statusCode()} ${answer.body()}")
        return said(Json.parseToJsonElement(answer.body()))
    }
}

/** Once, or until it holds. */
private fun attempt(soon: Boolean, check: () -> Unit) {
    val start = System.nanoTime()
    while (true) {
        try {
            return check()
        } catch (mismatch: Mismatch) {
            if (!soon || System.nanoTime() - start > SOON_MS * 1_000_000) throw mismatch
        }
        Thread.yield()
    }
}

/** An object with no other members than these. */
private fun members(of: Any?, names: Set<String>): Map<String, Any?> {
    val members = of.asObject()
    check(names.containsAll(members.keys)) { "${members.keys - names} is not known" }
    return members
}

/** What every event of a client's has. */
private fun checkForm(events: List<Map<String, Any?>>) {
    val ids = HashSet<Any?>()
    for (event in events) {
        val properties = event.part("properties")
        val text = { name: String -> properties[name] as? String ?: "" }
        val holds =
            text("\$insert_id").length == 32 &&
                ids.add(text("\$insert_id")) &&
                text("\$device_id").length == 36 &&
                text("mp_lib").startsWith("refrain-") &&
                text("\$lib_version").isNotEmpty() &&
                event["time_ms"].let { it is Long && it > 0 }
        if (!holds) mismatch("an event has not its form: $event")
    }
}
