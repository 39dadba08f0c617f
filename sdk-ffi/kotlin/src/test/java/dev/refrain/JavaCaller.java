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

    static void nullSignals(Settings settings) {
        settings.setSignals(null);
    }

    static void nullDefaultConsent(Settings settings) {
        settings.setDefaultConsent(null);
    }

    static void nullIdMerge(Settings settings) {
        settings.setIdMerge(null);
    }

    static void nullPersonalData(Settings settings) {
        settings.setPersonalData(null);
    }

    static void nullAutomaticProperties(Settings settings) {
        settings.setAutomaticProperties(null);
    }

    static void nullDenyList(Settings settings) {
        settings.setDenyList(null);
    }

    static void nullPersonalDataAllow(Settings settings) {
        settings.setPersonalDataAllow(null);
    }

    static void startWithNullSettings() {
        Refrain.start("project-token", (Settings) null).close();
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
