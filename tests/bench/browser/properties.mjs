/** What every record carries: eight properties. */
export const properties = (number) => ({
  bench_number: number,
  run: 'r',
  page: '/pricing',
  plan: 'pro',
  price: 19.99,
  currency: 'EUR',
  items: 3,
  first: true,
});
