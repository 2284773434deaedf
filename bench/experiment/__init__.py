"""The overload experiment: services of known capacity, and what can stand in front of them."""
