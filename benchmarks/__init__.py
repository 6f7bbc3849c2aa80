"""Side-by-side measurements. They show figures; no test asserts one."""
