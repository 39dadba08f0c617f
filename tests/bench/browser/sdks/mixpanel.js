// Without session replay, which is most of the default entry.
import mixpanel from 'mixpanel-browser/dist/mixpanel-core.cjs.js';

export const start = (endpoint) => mixpanel.init('bench', { api_host: endpoint });
export const track = (name, properties) => mixpanel.track(name, properties);
