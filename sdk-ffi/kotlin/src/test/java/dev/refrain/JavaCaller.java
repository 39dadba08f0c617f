package dev.refrain;

import java.io.File;
import java.util.Map;

/** Calls from Java, which knows neither nullability nor suspending functions. */
final class JavaCaller {
    private JavaCaller() {}

    static Outcome trackNull(Refrain client) {
        return client.track(null);
    }

    static Outcome identifyNull(Refrain client) {
        return client.identify(null);
    }

    static Outcome setGroupNull(Refrain client) {
        return client.setGroup("company", null);
    }

    static Outcome trackWithNullProperties(Refrain client) {
        return client.track("Event", null);
    }

    static Outcome registerNull(Refrain client) {
        return client.register(null);
    }

    static Outcome registerOnceNull(Refrain client) {
        return client.registerOnce(null);
    }

    static Outcome registerForSessionNull(Refrain client) {
        return client.registerForSession(null);
    }

    static void startWithNullSignals() {
        Settings settings = new Settings();
        settings.setSignals(null);
        Refrain.start("project-token", settings).close();
    }

    static void startWithNullToken() {
        Refrain.start((String) null, new Settings()).close();
    }

    /** Everything that a program does, without a line of Kotlin. */
    static Consent journey(String endpoint, File folder) throws ConsentException {
        Settings settings = new Settings();
        settings.setEndpoint(endpoint);
        settings.setDataDir(folder);
        settings.setFlushInterval(3600);
        settings.setQueueLimitAge(3600);
        settings.setSignals(new Signals(true));
        try (Refrain client = Refrain.start("project-token", settings)) {
            if (!client.consent().getReason().equals("gpc")) {
                throw new AssertionError(client.consent().toString());
            }
            client.optInBlocking();
            client.track("Bought", Map.of("item", "umbrella"));
            if (!client.flushBlocking()) {
                throw new AssertionError(client.stats().toString());
            }
            client.signals(true);
            client.optOutBlocking();
            return client.consent();
        }
    }
}
