// What a page may say of itself, as properties by the names that Mixpanel's own clients use. An entry of its own: who
// does not want it does not load it. It keeps nothing, and says of addresses no more than where they lead: what stands
// behind `?` and `#` may be anybody's name, so of the query only the words for campaigns are taken.

const CAMPAIGN = ['utm_source', 'utm_medium', 'utm_campaign', 'utm_content', 'utm_term'];

/** A browser that says which one it is by more than its user agent's text. */
interface Hinting {
  userAgentData?: { platform: string; mobile: boolean; brands: { brand: string; version: string }[] };
}

/** Brands that stand there so that nobody relies on the list, and the engine that several share. */
const NO_BRAND = /not.?a.?brand|^chromium$/i;

/**
 * Properties of the page as it is now: `$current_url` and `$referrer` without query and fragment, `$referring_domain`,
 * the address's campaign parameters, `$browser_language`, `$screen_width`, `$screen_height`; and, if the browser
 * provides them itself, `$browser`, `$browser_version`, `$os` and `$device_type`. Unknown properties are left out.
 * Outside of pages the result is empty.
 *
 * ```js
 * r.registerForSession(pageContext()); // again after a page of an application has changed
 * r.track('Viewed', pageContext());
 * ```
 */
export const pageContext = (): Record<string, string | number> => {
  if (typeof document == 'undefined') return {};
  const { userAgentData: agent, language } = navigator as Navigator & Hinting;
  const brand = agent?.brands.find(({ brand }) => !NO_BRAND.test(brand)) ?? agent?.brands.find(({ brand }) => brand == 'Chromium');
  const from = parse(document.referrer);
  const known = {
    $current_url: bare(location),
    $referrer: from && bare(from),
    $referring_domain: from?.hostname,
    ...campaign(location.search),
    $browser_language: language,
    $screen_width: screen.width,
    $screen_height: screen.height,
    $browser: brand?.brand,
    $browser_version: brand?.version,
    $os: agent?.platform,
    $device_type: agent && (agent.mobile ? 'Mobile' : 'Desktop'),
  };
  return Object.fromEntries(Object.entries(known).filter((entry): entry is [string, string | number] => !!entry[1]));
};

const parse = (address: string) => {
  try {
    return new URL(address);
  } catch {
    return undefined;
  }
};

const bare = ({ protocol, host, pathname }: URL | Location) => `${protocol}//${host}${pathname}`;

const campaign = (query: string) => {
  const said = new URLSearchParams(query);
  return Object.fromEntries(CAMPAIGN.map((name) => [name, said.get(name) ?? undefined]));
};
