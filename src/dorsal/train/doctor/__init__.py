"""What is wrong with how a network is trained, found before it is trained. `finding` needs no torch."""
