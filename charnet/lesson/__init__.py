"""What do runs on one text teach about recurrent networks?"""
