/** When the machine is asked to keep its processors awake, and when no more. */
import { CONTROL_BUSY, CONTROL_BYTES } from './control.js';
import { Pace, WakeLatency } from './pace.js';

const words = (): Int32Array => new Int32Array(CONTROL_BYTES / 4);

describe('Pace', () => {
  it('says once that requests come thick', () => {
    const control = words();
    let now = 0;
    let said = 0;
    const pace = new Pace(control, () => said++, () => now);
    for (let i = 0; i < 1000; i++) {
      pace.count();
      now += 0.1;
    }
    expect([said, control[CONTROL_BUSY]]).toEqual([1, 1]);
    // The supervisor has let go: the next burst is told again.
    control[CONTROL_BUSY] = 0;
    for (let i = 0; i < 200; i++) pace.count();
    expect(said).toBe(2);
  });

  it('says nothing of a request now and then', () => {
    let now = 0;
    const pace = new Pace(words(), () => expect(now).toBe(-1), () => now);
    for (let i = 0; i < 1000; i++) {
      pace.count();
      now += 1;
    }
  });
});

describe('WakeLatency', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });
  afterEach(() => {
    jest.useRealTimers();
  });

  it('holds while requests come, and lets go when they stop', () => {
    const control = words();
    const calls: string[] = [];
    const latency = new WakeLatency(control, { hold: () => calls.push('hold'), release: () => void calls.push('release') });
    const pace = new Pace(control, () => latency.begin(), () => 0);
    const burst = (): void => {
      for (let i = 0; i < 500; i++) pace.count();
    };
    burst();
    for (let i = 0; i < 20; i++) {
      jest.advanceTimersByTime(25);
      burst();
    }
    expect(calls).toEqual(['hold']);
    jest.advanceTimersByTime(60);
    expect([calls, control[CONTROL_BUSY]]).toEqual([['hold', 'release'], 0]);
    jest.advanceTimersByTime(1000);
    burst();
    expect(calls).toEqual(['hold', 'release', 'hold']);
    latency.end();
    latency.end();
    expect(calls).toEqual(['hold', 'release', 'hold', 'release']);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('asks no more where it cannot be had', () => {
    const control = words();
    let tries = 0;
    const latency = new WakeLatency(control, { hold: () => void tries++, release: () => expect(tries).toBe(-1) });
    const pace = new Pace(control, () => latency.begin(), () => 0);
    for (let i = 0; i < 1000; i++) pace.count();
    jest.advanceTimersByTime(1000);
    for (let i = 0; i < 1000; i++) pace.count();
    expect(tries).toBe(1);
    latency.end();
  });
});
