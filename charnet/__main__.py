from charnet.cli import main

main()
